"""``velox bench``: what the user's own model costs."""

import argparse
from pathlib import Path

from velox.commands import Commands
from velox.commands.arguments import duration


def add(commands: Commands) -> None:
    """Add the parser."""
    bench = commands.add_parser(
        "bench",
        help="measure the configured model on the configured topic's records: what bounds, and the roofline",
        description="Loads MODEL in as many processes as a consumer would have, feeds them the newest records of "
        "KAFKA_TOPIC (read beside the group, which notices nothing) or, where there are none, of SOURCE, and shows "
        "what decode and predict take for each record at batch sizes up to BATCH_SIZE. Stores and commits nothing. "
        "Nothing else should run meanwhile: what shares the cores is measured too.",
    )
    bench.add_argument(
        "--for", dest="for_s", type=duration, default=20.0, metavar="TIME", help="measure so long (default: 20s)"
    )
    bench.add_argument("--count", type=int, default=256, metavar="N", help="with N records (default: 256)")
    bench.add_argument("--json", type=Path, metavar="PATH", help="write the figures there")
    bench.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from velox import settings
    from velox.tools.bench import Options, run

    return run(settings.load(), Options(for_s=args.for_s, count=max(1, args.count), json_path=args.json))
