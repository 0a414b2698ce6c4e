"""``velox bench``: what the user's own model costs on the user's own records, on this machine."""

from velox.tools.bench.run import Options, run

__all__ = ["Options", "run"]
