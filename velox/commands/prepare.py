"""``velox prepare``: topics and tables before anybody needs them."""

import argparse
from typing import Final

from velox.commands import Commands

_DESCRIPTION: Final = """\
Creates the topics of the pipeline and the tables of its databases, where they are missing, and ends. What is there
stays as it is. Consumers, producers and gateways do the same when they start: this is for deployments, where whoever
may create something is not who uses it, or where it should be there first.
"""


def add(commands: Commands) -> None:
    """Add the parser."""
    prepare = commands.add_parser(
        "prepare",
        help="create the topics and tables of a pipeline where they are missing",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    prepare.add_argument(
        "--wait", type=float, default=60.0, metavar="SECONDS", help="for brokers that are not there yet (default: 60)"
    )
    prepare.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from velox import settings
    from velox.tools import prepare

    for what in prepare.run(settings.load(), wait_s=args.wait):
        print(f"{what}: there")
    return 0
