"""What ``decode`` has to say of a payload that it reads although something is wrong with it."""

import threading
from typing import Final

_LONGEST: Final = 200
_said = threading.local()


def remark(text: str) -> None:
    """Say what is wrong with the payload that this thread is decoding, which is predicted all the same.

    For the ``decode`` of any model. It is counted (``velox_decode_warnings_total``) and, now and then, logged with the
    record's position. Harmless where nobody listens, as in training.
    """
    _said.text = " ".join(text[:_LONGEST].split())


def take_remark() -> str:
    """Return what this thread has remarked since the last call; usually nothing."""
    text: str = getattr(_said, "text", "")
    if text:
        _said.text = ""
    return text
