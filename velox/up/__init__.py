"""``velox up``: the whole pipeline on this machine, in one command."""

from velox.up.supervisor import run

__all__ = ["run"]
