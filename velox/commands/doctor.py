"""``velox doctor``: what is wrong with a set-up, before it is started."""

import argparse
import logging

from velox.commands import Commands


def add(commands: Commands) -> None:
    """Add the parser."""
    doctor = commands.add_parser(
        "doctor",
        help="check settings, Kafka, sinks, model and machine; every finding names the fix",
        description="Checks what a consumer would meet: settings that fit each other; brokers, topics, size limits, "
        "replication, retention against what waits; sinks; model and labels; memory, disk, open files, GPU. It changes "
        "nothing and leaves nothing behind. Each finding is ok, a warning (works, could be better), an error (does not "
        "work, or loses records) or skipped (could not be looked at), and says after an arrow what to change.",
        epilog="The exit code is the number of errors, at most 100: `velox doctor && python consumer.py`.",
    )
    doctor.add_argument("--json", action="store_true", help="print one JSON object instead, for other programs")
    doctor.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from velox.tools import doctor

    logging.disable()  # what adapters would log is a finding here
    return doctor.run(as_json=args.json)
