"""``velox top``: where the time of running consumers goes, as their metrics tell."""

from velox.tools.top.watch import Address, Options, run

__all__ = ["Address", "Options", "run"]
