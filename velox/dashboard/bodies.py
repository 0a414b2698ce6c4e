"""What a browser sends: a small JSON object, or nothing that is taken."""

import json
from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request

from velox.errors import SettingsError

_MOST_BYTES: Final = 16 * 1024


async def read_object(request: Request) -> Mapping[str, object]:
    """Read it, not more than is ever needed.

    Raises:
        SettingsError: it is none, or too large.
    """
    body = b""
    async for some in request.stream():
        body += some
        if len(body) > _MOST_BYTES:
            raise SettingsError(f"more than {_MOST_BYTES} bytes")
    try:
        said: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"not JSON: {error}") from error
    if not isinstance(said, dict):
        raise SettingsError("not a JSON object")
    return said
