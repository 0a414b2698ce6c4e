"""Which version of a model answers a record: by its key, so that the same key keeps its version."""

import math
from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

WHOLE: Final = 100.0
_RANGE: Final = float(1 << 64)


def split(names: Mapping[str, float], default: str) -> dict[str, float]:
    """Give the default version what the others leave of 100.

    Raises:
        ValueError: a share is no percentage, or together they are more than 100.
    """
    others = {name: share for name, share in names.items() if name != default}
    for name, share in others.items():
        if not 0 <= share <= WHOLE:
            msg = f"{name}={share:g} is no percentage: 0 to 100"
            raise ValueError(msg)
    if (taken := math.fsum(others.values())) > WHOLE:
        msg = f"the shares are {taken:g} % together, and there are 100"
        raise ValueError(msg)
    return {**others, default: WHOLE - taken}


class Shares:
    """Divides keys among versions by weighted rendezvous hashing.

    Each version draws a number for the key, its share being the weight; the highest wins. So a version whose share
    grows only wins keys. With two versions no more keys move than the shares differ by; with more, a few between the
    others as well. Processes agree without a word, on any machine.
    """

    def __init__(self, shares: Mapping[str, float]) -> None:
        """Take percentages; a version with none answers only when it is asked for by name."""
        self._shares = [(share, name, name.encode()) for name, share in sorted(shares.items()) if share > 0]

    def choose(self, key: bytes) -> str:
        """Name the version that answers records with this key."""
        if len(self._shares) == 1:
            return self._shares[0][1]
        return max(self._shares, key=lambda each: _draw(key, each[2], each[0]))[1]


def _draw(key: bytes, name: bytes, weight: float) -> float:
    digest = blake2b(key, digest_size=8, salt=blake2b(name, digest_size=16).digest()).digest()
    return weight / -math.log((int.from_bytes(digest) + 0.5) / _RANGE)
