"""``velox metrics``: what is measured, and what to do about it."""

import argparse

from velox.commands import Commands


def add(commands: Commands) -> None:
    """Add the parser."""
    metrics = commands.add_parser(
        "metrics",
        help="print every metric, what it means and what to do about it",
        description="Prints docs/metrics.md: every metric of a consumer, what it means and what to do about it.",
    )
    metrics.set_defaults(run=_run)


def _run(_args: argparse.Namespace) -> int:
    from velox import metrics

    print(metrics.markdown(), end="")
    return 0
