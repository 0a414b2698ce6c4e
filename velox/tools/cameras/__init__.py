"""What people see of cameras in a terminal."""

from velox.tools.cameras.watch import Options, run

__all__ = ["Options", "run"]
