"""``velox produce``: publishing records."""

import argparse
from pathlib import Path

from velox.commands import Commands


def add(commands: Commands) -> None:
    """Add the parser."""
    produce = commands.add_parser(
        "produce",
        help="publish records to Kafka",
        description="Publishes what a source gives to KAFKA_TOPIC until it ends, --count is reached or a signal comes. "
        "Several topics take their turns; of a pattern, those that match when it starts.",
    )
    produce.add_argument(
        "--source",
        metavar="SOURCE",
        help="shapes, folder:PATH, video:PATH, reviews or lines:FILE (default: the setting SOURCE)",
    )
    produce.add_argument("--count", type=int, metavar="N", help="stop after N records")
    produce.add_argument("--rate", type=float, metavar="R", help="records a second, instead of PRODUCER_INTERVAL")
    produce.add_argument(
        "--heartbeat", type=Path, metavar="FILE", help="touch it while records are delivered, for a health check"
    )
    produce.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from velox import producer, settings

    return producer.run(settings.load(), source=args.source, count=args.count, rate=args.rate, heartbeat=args.heartbeat)
