"""``velox autoscale``: what an autoscaler would do, before one is deployed."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from velox.commands import Commands

if TYPE_CHECKING:
    from velox.tools.autoscale.simulation import Outcome

_DESCRIPTION: Final = """\
Plays loads through Kubernetes' autoscaler and through what KEDA would tell it: the chart's own policy, and others that
one might deploy. A trace is one of those that are drawn (step, burst, waves, restart, broker-loss, slow-start; without
any, all of them) or a CSV file with the records of each second, a line each.

  velox autoscale simulate
  velox autoscale simulate monday.csv --rate 265 --most 24 --plot monday.svg

Less is better in every column: how often it turned round, how old the oldest record became, the share of records that
took longer than two minutes, and the replicas that were paid for.
"""


def add(commands: Commands) -> None:
    """Add the parser and that of its action."""
    autoscale = commands.add_parser(
        "autoscale",
        help="simulate how consumers would be scaled under a load",
        description="Compares ways to scale consumers.",
    )
    actions = autoscale.add_subparsers(dest="action", metavar="ACTION", required=True)
    simulate = actions.add_parser(
        "simulate",
        help="compare the chart's policy with others",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    simulate.add_argument("traces", nargs="*", metavar="TRACE", help="a drawn one's name, or a file")
    simulate.add_argument(
        "--rate", type=_positive, default=100.0, metavar="R", help="records a second of a replica (default: 100)"
    )
    simulate.add_argument("--least", type=int, default=1, metavar="N", help="replicas at least (default: 1)")
    simulate.add_argument("--most", type=int, default=12, metavar="N", help="and at most (default: 12)")
    simulate.add_argument("--plot", type=Path, metavar="FILE", help="draw replicas and lag into it, as .svg or .png")
    simulate.set_defaults(run=_simulate)


def _simulate(args: argparse.Namespace) -> int:
    from velox.core.scaling import others, shipped
    from velox.errors import SettingsError
    from velox.loading import is_installed
    from velox.tools.autoscale.simulation import simulate
    from velox.tools.autoscale.traces import DRAWN, named

    if not 1 <= args.least <= args.most:
        msg = f"--least {args.least} --most {args.most}: at least 1, and not more than --most"
        raise SettingsError(msg)
    if args.plot and not is_installed("matplotlib"):
        msg = "--plot needs a package that is not installed: pip install matplotlib"
        raise SettingsError(msg)
    bounds = {"least": args.least, "most": args.most}
    policies = [shipped(args.rate, **bounds), *others(args.rate, **bounds)]
    traces = [named(name) for name in args.traces or DRAWN]
    outcomes = [simulate(policy, trace, args.rate) for trace in traces for policy in policies]
    _show(outcomes)
    if args.plot:
        from velox.tools.autoscale.picture import draw

        draw(outcomes, args.plot)
    return 0


def _show(outcomes: "list[Outcome]") -> None:
    print(f"{'trace':<13}{'policy':<27}{'reversals':>9}{'oldest, s':>11}{'late':>8}{'replica-min':>13}{'most':>6}")
    for outcome in outcomes:
        print(
            f"{outcome.trace:<13}{outcome.policy:<27}{outcome.reversals:>9}{outcome.worst_age_s:>11}"
            f"{outcome.late_share:>8.1%}{outcome.replica_minutes:>13.0f}{outcome.most_replicas:>6}"
        )


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        msg = f"{text!r} is no rate: write records a second, such as 265"
        raise argparse.ArgumentTypeError(msg)
    return value
