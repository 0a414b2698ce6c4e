"""API keys as text: how one is made, and how one is read."""

import hashlib
import re
import secrets
from typing import Final, NamedTuple

SCOPES: Final = ("submit", "read", "admin")
"""What a key may be for: asking and cancelling; looking at its own requests; having a webhook delivered
again, and saying what signs them."""

_KEY: Final = re.compile(r"vx_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
_ID_BYTES: Final = 6
_SECRET_BYTES: Final = 32


class KeyText(NamedTuple):
    """A key as its owner has it."""

    id: str
    """Not secret: names the key in lists, and is the owner of the requests that come with it."""
    hash: str
    """SHA-256 of the text, in hexadecimal digits. Nothing slower is needed: its 32 random bytes cannot be guessed."""


def make_key() -> tuple[str, KeyText]:
    """Make a key: answer its text, which has to be shown now or never, and what is kept of it."""
    text = f"vx_{secrets.token_hex(_ID_BYTES)}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    return text, _kept(text, text.split("_")[1])


def read_key(text: str) -> KeyText | None:
    """Read what a client sent; None when it is no key at all. Whether there is this key is for a store to say."""
    match = _KEY.fullmatch(text)
    return _kept(text, match[1]) if match else None


def _kept(text: str, identity: str) -> KeyText:
    return KeyText(identity, hashlib.sha256(text.encode()).hexdigest())
