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
        help="shapes, folder:PATH, video:PATH, reviews, lines:FILE, keys (those in the table image_info of KEYS_URL), "
        "or cameras (those of CAMERAS_FILE, a topic each) (default: the setting SOURCE)",
    )
    produce.add_argument("--count", type=int, metavar="N", help="stop after N records")
    produce.add_argument("--rate", type=float, metavar="R", help="records a second, instead of PRODUCER_INTERVAL")
    produce.add_argument(
        "--heartbeat", type=Path, metavar="FILE", help="touch it while records are delivered, for a health check"
    )
    produce.add_argument(
        "--follow", action="store_true", help="with keys: wait for new rows at the end (the setting KEYS_FOLLOW)"
    )
    produce.add_argument(
        "--where", metavar="PREFIX", help="with keys: only those that begin with PREFIX (the setting KEYS_WHERE)"
    )
    produce.add_argument(
        "--full-pass",
        action="store_true",
        help="with keys: all rows again, and nothing changed in the database (the setting KEYS_FULL_PASS)",
    )
    produce.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from velox import producer, settings
    from velox.cameras import main as cameras
    from velox.core.cameras import CAMERAS
    from velox.errors import SettingsError

    told = settings.load()
    given = {"keys_follow": args.follow or None, "keys_where": args.where, "keys_full_pass": args.full_pass or None}
    told = told.model_copy(update={name: value for name, value in given.items() if value is not None})
    if (args.source or told.source) == CAMERAS:
        for option in ("count", "rate", "heartbeat"):
            if getattr(args, option) is not None:
                msg = f"--{option}: cameras have a pace of their own, and /livez on CAMERAS_PORT; leave it out"
                raise SettingsError(msg)
        return cameras.run(told)
    return producer.run(told, source=args.source, count=args.count, rate=args.rate, heartbeat=args.heartbeat)
