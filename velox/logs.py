"""How Velox logs: one configuration for all its processes."""

import io
import json
import logging
import sys
import time
from datetime import UTC, datetime
from typing import Any, Literal

from velox.core.text import printable

HUMAN = "%(asctime)s - %(levelname)s - %(message)s"
DATE = "%Y-%m-%d %H:%M:%S"
Form = Literal["human", "json"]


class _HumanFormatter(logging.Formatter):
    """One line, in the form that users of the first system know; the second is written out once, not for each line."""

    def __init__(self) -> None:
        super().__init__(HUMAN)
        self._second, self._text = 0, ""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Write the line; what a stranger wrote into the message makes no line of its own."""
        record.message = printable(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802, ANN401 - logging's name; what sys.exc_info() answers
        """Write the traceback, indented: nor does what a stranger wrote into an error look like a line of the log."""
        return _printable_lines(super().formatException(ei), indent="  ")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - logging's name
        """Write local time to the second."""
        second = int(record.created)
        if second != self._second:
            self._second, self._text = second, time.strftime(datefmt or DATE, time.localtime(second))
        return self._text


class _JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Write time (ISO 8601, UTC), level, logger, process, message and traceback."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "message": printable(record.getMessage()),
        }
        if record.exc_info:
            line["error"] = _printable_lines(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def _printable_lines(text: str, *, indent: str = "") -> str:
    return "\n".join(indent + printable(line) for line in text.splitlines())


def replace_what_cannot_be_shown() -> None:
    """Write ``?`` for a character that standard output has no code for: where it is ASCII or Latin-1, and for bytes.

    An environment may hold bytes that are no text; Python hands them on as characters that no encoding has.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def configure(*, level: str = "INFO", form: Form = "human") -> None:
    """Log to standard output, whole lines, in the form of ``LOG_FORMAT``. Call once, at a process's start."""
    replace_what_cannot_be_shown()  # here too: an inference process begins with this
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonFormatter() if form == "json" else _HumanFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Neither form says where in the code or on which thread: finding that out is a quarter of a line's cost.
    logging.logThreads = logging.logMultiprocessing = False
    logging.getLogger("pymongo").setLevel(logging.WARNING)
