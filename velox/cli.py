"""The command line: ``velox …``, and the commands behind producer.py, consumer.py and train.py."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from velox.commands import (
    arguments,
    autoscale,
    bench,
    cameras,
    cluster,
    consume,
    dashboard,
    dlq,
    doctor,
    gateway,
    key,
    metrics,
    model,
    prepare,
    produce,
    settings,
    top,
    train,
    up,
    upload,
    verify,
    webhooks,
)
from velox.core.text import printable
from velox.errors import VeloxError
from velox.logs import replace_what_cannot_be_shown


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; an expected error is one line on standard error, and its notes."""
    replace_what_cannot_be_shown()
    args = _parser().parse_args(argv)
    try:
        if "env_file" in args:
            arguments.use_pipeline_file(args.env_file)
        return int(args.run(args))
    except VeloxError as error:
        print(f"velox {args.command}: {printable(str(error))}", file=sys.stderr)
        for line in getattr(error, "__notes__", ()):
            print(f"  {printable(line)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


class _Parser(argparse.ArgumentParser):
    """What the parsers of all commands have in common, their actions' too.

    It says in one line what is wrong with the arguments, as every command does with every other expected error.
    """

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - what argparse takes
        """Add the option that every command has."""
        super().__init__(*args, **options)
        self.add_argument(
            "--env-file",
            default=argparse.SUPPRESS,  # or a command's own default would replace what was given before its name
            metavar="FILE",
            help="a pipeline's settings: they win over .env, and the environment wins over them",
        )

    def error(self, message: str) -> NoReturn:
        """Exit with code 2."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="velox",
        description="Turns Kafka topics into stored, searchable, observable model predictions.",
        epilog="Everything else is a setting: an environment variable, or a line of .env or of the pipeline's file. "
        "`velox settings` lists them.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    pipeline = (up, prepare, upload, cameras, produce, consume, cluster, gateway, key, webhooks, model, train)
    for command in (*pipeline, dashboard, top, bench, doctor, verify, dlq, autoscale, settings, metrics):
        command.add(commands)
    return parser
