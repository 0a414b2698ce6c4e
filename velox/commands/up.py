"""``velox up``: the whole pipeline in one command."""

import argparse
from pathlib import Path

from velox.commands import Commands
from velox.commands.arguments import duration
from velox.errors import SettingsError


def add(commands: Commands) -> None:
    """Add the parser."""
    up = commands.add_parser(
        "up",
        help="run the whole pipeline here: broker, producer, consumer, SQLite and disk",
        description="Runs an embedded broker, a producer and a consumer, stores in SQLite and on disk, shows what "
        "happens, and checks at the end that produced = predicted + dead letters. Ctrl-C drains and stops. SINKS and "
        "STORE count only from the environment and the pipeline file (--env-file), not from .env.",
    )
    up.add_argument(
        "--for",
        dest="for_s",
        type=duration,
        metavar="TIME",
        help="end this long after the first record is done: 20s, 5m, 1h",
    )
    up.add_argument(
        "--record", type=Path, metavar="FILE.svg", help="write the view, as it was at last while it ran, as a picture"
    )
    up.add_argument(
        "--topics",
        metavar="NAMES",
        help="the topics that the broker begins with, where KAFKA_TOPIC is a pattern: camera_1,camera_2 or "
        "'camera_{1..20}'",
    )
    up.add_argument(
        "--api",
        action="store_true",
        help="serve the REST API instead: gateway, models of MODELS_PATH (models.toml) and webhooks, with requests and "
        "results in REQUESTS_URL; --for counts from when it is ready",
    )
    up.add_argument("--no-dashboard", action="store_true", help="serve no page that shows it in a browser")
    up.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from velox import settings
    from velox.tools import up

    if args.api:
        if args.topics or args.record:
            raise SettingsError("--api serves the models of models.toml: it takes neither --topics nor --record")
        from velox.commands import renamed
        from velox.tools.up import api

        return api.run(renamed.load("gateway"), for_s=args.for_s)
    return up.run(
        settings.load(), for_s=args.for_s, topics=args.topics, record=args.record, dashboard=not args.no_dashboard
    )
