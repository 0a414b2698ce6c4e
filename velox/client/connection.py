"""What both clients have in common with the HTTP library: its options, its timeouts, its errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2

from velox.client.calls import Call
from velox.client.errors import UnreachableError, UnreadableError
from velox.client.reading import Answer


def options(url: str, api_key: str | None) -> dict[str, Any]:
    """Answer what a client of the library is made with.

    Raises:
        ValueError: the URL is none.
    """
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        msg = f"url={url!r}: {error}"
        raise ValueError(msg) from error
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        msg = f"url={url!r}: a gateway is at http:// or https:// and a host"
        raise ValueError(msg)
    headers = {"Accept": "application/json"}
    if api_key is not None:
        headers["Authorization"] = f"Bearer {api_key}"
    return {"base_url": parsed, "headers": headers}


def request(call: Call, timeout_s: float) -> dict[str, Any]:
    """Answer what a call is made with; ``timeout_s`` is for each of connecting, sending, and the next bytes to come."""
    return {
        "method": call.method,
        "url": call.path,
        "params": dict(call.params),
        "headers": dict(call.headers),
        "content": call.content,
        "timeout": httpx2.Timeout(timeout_s, read=timeout_s + call.longer_s),
    }


def answer(response: httpx2.Response) -> Answer:
    """Take a response that has been read."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status_code, headers, response.content)


@contextmanager
def translated(url: object) -> Iterator[None]:
    """Tell the library's errors as ours.

    Raises:
        UnreachableError: there was no whole answer.
        UnreadableError: there was one, and it makes no sense.
    """
    try:
        yield
    except httpx2.SSEError as error:
        raise UnreadableError(f"{url} answers with no stream of events: {error}") from error
    except httpx2.TransportError as error:
        raise UnreachableError(f"{url} does not answer: {error or type(error).__name__}") from error
    except httpx2.HTTPError as error:
        raise UnreadableError(f"{url} answers what makes no sense: {error or type(error).__name__}") from error
