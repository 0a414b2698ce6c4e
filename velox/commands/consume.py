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
    consume.add_argument(
        "--models",
        type=_names,
        metavar="NAMES",
        help="models of MODELS_PATH (models.toml), with commas, or all: a consumer process for each, on METRICS_PORT "
        "and the ports that follow; what one model does touches no other. With all, and with several, changes of the "
        "file are followed while it runs; one alone is a consumer as without this option",
    )
    consume.set_defaults(run=_run)


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        msg = f"{text!r} names no models: write all, or sentiment,image_classification"
        raise argparse.ArgumentTypeError(msg)
    return names


def _run(args: argparse.Namespace) -> int:
    from velox.commands import renamed
    from velox.consumer import main as consumer

    if args.models:
        return _run_models(args.models)
    return consumer.run(renamed.load("consume"))


def _run_models(asked: list[str]) -> int:
    """Run one as it runs by itself, several under a supervisor."""
    from velox import settings
    from velox.commands import renamed
    from velox.settings.models import ALL, read_models
    from velox.worker.catalogue import chosen

    loaded = renamed.load("consume --models")
    entries = read_models(loaded.models_path)
    names = None if ALL in asked else chosen(entries, asked)
    if names is not None and len(names) == 1:
        from velox.consumer import main as consumer

        entry = entries[names[0]]
        settings.name_pipeline_file(str(entry.env_file))
        return consumer.run(renamed.load("consume").model_copy(update=entry.versions.changes()))
    from velox.worker import supervisor

    return supervisor.run(loaded, names)
