"""The command line: ``velox …``, and the commands behind producer.py, consumer.py and train.py."""

import argparse
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

from velox.errors import VeloxError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; an expected error is one line on standard error."""
    args = _parser().parse_args(argv)
    try:
        return int(args.run(args))
    except VeloxError as error:
        print(f"velox {args.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the arguments, as every command does with every other expected error."""

    def error(self, message: str) -> NoReturn:
        """Exit with code 2."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="velox",
        description="Turns Kafka topics into stored, searchable, observable model predictions.",
        epilog="Everything else is a setting: an environment variable or a line of .env. `velox settings` lists them.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_up(commands)
    _add_produce(commands)
    _add_consume(commands)
    _add_train(commands)
    _add_settings(commands)
    _add_metrics(commands)
    return parser


def _add_up(commands: "argparse._SubParsersAction[_Parser]") -> None:
    up = commands.add_parser(
        "up",
        help="run the whole pipeline here: broker, producer, consumer, SQLite and disk",
        description="Runs an embedded broker, a producer and a consumer, stores in SQLite and on disk, shows what "
        "happens, and checks at the end that produced = predicted + dead letters. Ctrl-C drains and stops. SINKS and "
        "STORE count only from the environment, not from .env.",
    )
    up.add_argument(
        "--for",
        dest="for_s",
        type=_duration,
        metavar="TIME",
        help="end this long after the first record is done: 20s, 5m, 1h",
    )
    up.set_defaults(run=_up)


def _add_produce(commands: "argparse._SubParsersAction[_Parser]") -> None:
    produce = commands.add_parser(
        "produce",
        help="publish images to Kafka",
        description="Publishes images to KAFKA_TOPIC until the source ends, --count is reached or a signal comes.",
    )
    produce.add_argument(
        "--source", metavar="SOURCE", help="shapes, folder:PATH or video:PATH (default: the setting SOURCE)"
    )
    produce.add_argument("--count", type=int, metavar="N", help="stop after N records")
    produce.add_argument("--rate", type=float, metavar="R", help="records a second, instead of PRODUCER_INTERVAL")
    produce.set_defaults(run=_produce)


def _add_consume(commands: "argparse._SubParsersAction[_Parser]") -> None:
    consume = commands.add_parser(
        "consume",
        help="predict what comes from Kafka and store the results",
        description="Reads KAFKA_TOPIC, predicts in a process per GPU or core, writes to SINKS, commits what is done.",
    )
    consume.set_defaults(run=_consume)


def _add_train(commands: "argparse._SubParsersAction[_Parser]") -> None:
    train = commands.add_parser(
        "train",
        help="train a model on drawn shapes",
        description="Trains MODEL_ARCH on drawn shapes; writes MODEL_PATH, CLASSES_PATH and the model card model.json.",
    )
    train.set_defaults(run=_train)


def _add_settings(commands: "argparse._SubParsersAction[_Parser]") -> None:
    settings = commands.add_parser(
        "settings",
        help="show every setting, its value and where it comes from",
        description="Shows every setting, its value (secrets masked), where it comes from and what it means.",
    )
    settings.add_argument("--markdown", action="store_true", help="print docs/settings.md instead")
    settings.set_defaults(run=_settings)


def _add_metrics(commands: "argparse._SubParsersAction[_Parser]") -> None:
    metrics = commands.add_parser(
        "metrics",
        help="print every metric, what it means and what to do about it",
        description="Prints docs/metrics.md: every metric of a consumer, what it means and what to do about it.",
    )
    metrics.set_defaults(run=_metrics)


def _duration(text: str) -> float:
    """Read ``20s``, ``5m``, ``1h`` or plain seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if match is None:
        msg = f"{text!r} is no time: write 20s, 5m or 1h"
        raise argparse.ArgumentTypeError(msg)
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def _up(args: argparse.Namespace) -> int:
    from velox import settings, up

    return up.run(settings.load(), for_s=args.for_s)


def _produce(args: argparse.Namespace) -> int:
    from velox import producer, settings

    return producer.run(settings.load(), source=args.source, count=args.count, rate=args.rate)


def _consume(_args: argparse.Namespace) -> int:
    from velox import settings
    from velox.consumer import main as consumer

    return consumer.run(settings.load())


def _train(_args: argparse.Namespace) -> int:
    from velox import settings

    loaded = settings.load()  # a mistake in it need not wait for torch, which takes seconds
    from velox.models import training

    return training.run(loaded)


def _settings(args: argparse.Namespace) -> int:
    from velox import settings_table

    if args.markdown:
        print(settings_table.markdown(), end="")
    else:
        settings_table.show()
    return 0


def _metrics(_args: argparse.Namespace) -> int:
    from velox import metrics

    print(metrics.markdown(), end="")
    return 0
