"""The commands of ``velox``, one file each. Each imports what it runs only when it runs, so that help is instant."""

import argparse
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""What a command adds its parser to."""
