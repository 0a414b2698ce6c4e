"""``velox doctor``: looks at a set-up before it is started, and says what to change."""

from velox.tools.doctor.checkup import run

__all__ = ["run"]
