"""``velox consume``: predicting and storing."""

import argparse

from velox.commands import Commands


def add(commands: Commands) -> None:
    """Add the parser."""
    consume = commands.add_parser(
        "consume",
        help="predict what comes from Kafka and store the results",
        description="Reads KAFKA_TOPIC, predicts in a process per GPU or core, writes to SINKS, commits what is done.",
    )
    consume.set_defaults(run=_run)


def _run(_args: argparse.Namespace) -> int:
    from velox import settings
    from velox.consumer import main as consumer

    return consumer.run(settings.load())
