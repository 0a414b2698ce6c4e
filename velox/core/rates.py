"""How often something may happen, as people write it: ``60/minute``."""

import re
from typing import Final, NamedTuple

_UNITS: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_RATE: Final = re.compile(rf"([1-9][0-9]{{0,8}})/({'|'.join(_UNITS)})")


class Rate(NamedTuple):
    """So many in so many seconds."""

    most: int
    seconds: int

    @classmethod
    def parse(cls, text: str) -> "Rate":
        """Read one.

        Raises:
            ValueError: it is none.
        """
        match = _RATE.fullmatch(text)
        if match is None:
            msg = f"{text!r} is no rate: write 60/minute, or another number a second, minute, hour or day"
            raise ValueError(msg)
        return cls(int(match[1]), _UNITS[match[2]])
