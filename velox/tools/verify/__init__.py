"""``velox verify``: no record lost, none doubled, and the account to prove it."""

from velox.tools.verify.plan import Plan
from velox.tools.verify.run import run

__all__ = ["Plan", "run"]
