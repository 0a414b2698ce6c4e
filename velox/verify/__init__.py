"""``velox verify``: no record lost, none doubled, and the account to prove it."""

from velox.verify.plan import Plan
from velox.verify.run import run

__all__ = ["Plan", "run"]
