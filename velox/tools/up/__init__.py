"""``velox up``: the whole pipeline on this machine, in one command."""

from velox.tools.up.supervisor import run

__all__ = ["run"]
