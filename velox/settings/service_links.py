"""Variables that Kubernetes sets in every pod for each Service of its namespace, unless ``enableServiceLinks: false``.

A Service named ``velox`` makes VELOX_SERVICE_HOST, VELOX_PORT=tcp://10.0.0.1:8000 and more, which look like ours.
"""

import re
from typing import Final

_LINK: Final = re.compile(
    r"(?P<service>[A-Z][A-Z0-9_]*?)_"
    r"(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)
_PORT: Final = "_PORT"
_ADDRESS: Final = re.compile(r"(?:tcp|udp|sctp)://\S+:\d+")


def service(name: str, value: str) -> str | None:
    """Name the Service that a variable tells of; None for a variable that is not Kubernetes'."""
    match = _LINK.fullmatch(name)
    prefix = match["service"] if match else ""
    if name.endswith(_PORT) and _ADDRESS.fullmatch(value):
        prefix = name.removesuffix(_PORT)
    return prefix.lower().replace("_", "-") or None
