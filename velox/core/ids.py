"""Time-ordered message ids."""

import secrets
import uuid
from collections.abc import Callable
from time import time_ns


def time_ordered_uuid(*, clock_ns: Callable[[], int] = time_ns) -> uuid.UUID:
    """Make a UUID version 7 (RFC 9562, section 5.7): 48 bits of Unix milliseconds, then random bits.

    Ids made within one millisecond are not ordered among themselves.
    """
    milliseconds = clock_ns() // 1_000_000
    value = (milliseconds & (2**48 - 1)) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76  # version
    value = value & ~(0x3 << 62) | 0x2 << 62  # variant
    return uuid.UUID(int=value)
