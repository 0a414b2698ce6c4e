"""``velox dashboard``: the page that shows what Velox sees."""

import argparse
from typing import Final

from velox.commands import Commands

_DESCRIPTION: Final = """\
Serves a page on http://localhost:8088: the newest results as they come, speed, lag and what to do about it, all that is
stored, cameras, and dead letters. `velox up` runs it too.

It reads the consumers' metrics (DASHBOARD_CONSUMERS), the store (SINKS=sqlite or postgres) and Kafka, and belongs to no
consumer group. Others than this machine are let in with DASHBOARD_TOKEN alone.
"""


def add(commands: Commands) -> None:
    """Add the parser."""
    dashboard = commands.add_parser(
        "dashboard",
        help="show what Velox sees, in a browser",
        description=_DESCRIPTION,
        epilog="Settings: DASHBOARD_HOST, DASHBOARD_PORT, DASHBOARD_TOKEN, DASHBOARD_CONSUMERS; see docs/dashboard.md.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    dashboard.set_defaults(run=_run)


def _run(_args: argparse.Namespace) -> int:
    from velox import settings
    from velox.loading import is_installed

    if not all(map(is_installed, ("starlette", "uvicorn", "httptools"))):
        from velox.errors import SettingsError

        msg = "the dashboard needs packages that are not installed: pip install 'velox[dashboard]'"
        raise SettingsError(msg)
    from velox.dashboard import main as process

    return process.run(settings.load())
