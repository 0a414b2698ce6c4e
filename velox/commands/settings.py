"""``velox settings``: what is set, and where it comes from."""

import argparse

from velox.commands import Commands


def add(commands: Commands) -> None:
    """Add the parser."""
    settings = commands.add_parser(
        "settings",
        help="show every setting, its value and where it comes from",
        description="Shows every setting, its value (secrets masked), where it comes from and what it means.",
    )
    settings.add_argument("--markdown", action="store_true", help="print docs/settings.md instead")
    settings.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from velox.settings import table

    if args.markdown:
        print(table.markdown(), end="")
    else:
        table.show()
    return 0
