"""``velox gateway``: the REST API."""

import argparse
from typing import Final

from velox.commands import Commands

_DESCRIPTION: Final = """\
Takes requests over HTTP, hands them to workers through Kafka, and answers what the workers have stored.
A request that was accepted is in Kafka: it is answered though gateway, worker, broker or database die in between.

  curl -X POST localhost:8000/predict -H 'Content-Type: application/json' -d '{"text": "I love it!"}'
  curl localhost:8000/v1/requests/ID?wait=5s

It needs Kafka, the database of REQUESTS_URL, and for each model a worker: `velox consume` with SINKS=requests.
"""


def add(commands: Commands) -> None:
    """Add the parser."""
    gateway = commands.add_parser(
        "gateway",
        help="ask for predictions over HTTP",
        description=_DESCRIPTION,
        epilog="Settings: GATEWAY_HOST, GATEWAY_PORT, AUTH, REQUESTS_URL, MAX_PENDING and others in the section "
        "Gateway of `velox settings`. All routes: http://localhost:8000/docs.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    gateway.set_defaults(run=_run)


def _run(_args: argparse.Namespace) -> int:
    from velox.commands import renamed
    from velox.loading import is_installed

    if not all(map(is_installed, ("fastapi", "uvicorn", "sqlalchemy"))):
        from velox.errors import SettingsError

        msg = "the gateway needs packages that are not installed: pip install 'velox[gateway]'"
        raise SettingsError(msg)
    from velox.gateway import main as process

    return process.run(renamed.load("gateway"))
