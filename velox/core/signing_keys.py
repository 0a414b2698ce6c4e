"""The secrets that sign webhooks, as WEBHOOK_SECRET has them."""

import secrets
from base64 import b64decode, b64encode
from typing import Final

PREFIX: Final = "whsec_"
LEAST_BYTES, MOST_BYTES = 24, 64
MOST_KEYS: Final = 2
_MADE_BYTES: Final = 32


def make_signing_key() -> str:
    """Make a secret, at random."""
    return PREFIX + b64encode(secrets.token_bytes(_MADE_BYTES)).decode()


def check_signing_key(text: str) -> None:
    """Look whether this is one secret.

    Raises:
        ValueError: it is not. The message does not show it.
    """
    _key(text)


def signing_keys(text: str) -> tuple[bytes, ...]:
    """Read the secrets: none, one, or two with a comma between, of which receivers may use either.

    Raises:
        ValueError: one is no secret of the Standard Webhooks convention. The message does not show it.
    """
    keys = tuple(_key(part.strip()) for part in text.split(",") if part.strip())
    if len(keys) > MOST_KEYS:
        msg = f"has {len(keys)} secrets: write the new one, and after a comma the one before it"
        raise ValueError(msg)
    return keys


def _key(text: str) -> bytes:
    msg = f"has to be {PREFIX} and {LEAST_BYTES} to {MOST_BYTES} bytes in base64: try `openssl rand -base64 32`"
    if not text.startswith(PREFIX):
        raise ValueError(msg)
    encoded = text.removeprefix(PREFIX).rstrip("=")
    try:
        key = b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError as error:
        raise ValueError(msg) from error
    if not LEAST_BYTES <= len(key) <= MOST_BYTES:
        raise ValueError(msg)
    return key
