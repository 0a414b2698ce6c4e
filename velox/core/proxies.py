"""The proxy that webhooks go through, as WEBHOOK_PROXY names it."""

import re
from base64 import b64encode
from typing import Final, NamedTuple

_URL: Final = re.compile(
    r"http://(?:(?P<user>[^\s/@:]*)(?::(?P<password>[^\s/@]*))?@)?"
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+)):(?P<port>\d{1,5})/?"
)
_ENCODED: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_MOST_PORT: Final = 65_535


class Proxy(NamedTuple):
    """An HTTP proxy that makes connections for others (``CONNECT``)."""

    host: str
    port: int
    authorization: str = ""
    """Value of ``Proxy-Authorization``; empty = the header is not sent."""

    @classmethod
    def parse(cls, url: str) -> "Proxy | None":
        """Read a proxy's URL; None where it is empty.

        Raises:
            ValueError: it is none. The message does not show it, since it may hold a password.
        """
        if not url:
            return None
        match = _URL.fullmatch(url)
        if match is None or not 1 <= int(match["port"]) <= _MOST_PORT:
            msg = "is no proxy: write http://HOST:PORT, or http://USER:PASSWORD@HOST:PORT"
            raise ValueError(msg)
        authorization = ""
        if match["user"] is not None:
            pair = _plain(match["user"]) + b":" + _plain(match["password"] or "")
            authorization = f"Basic {b64encode(pair).decode()}"
        return cls(match["v6"] or match["name"], int(match["port"]), authorization)


def _plain(text: str) -> bytes:
    """Undo %40 and the like, as a user or a password in a URL is written."""
    return _ENCODED.sub(lambda found: bytes.fromhex(found[1].decode()), text.encode())
