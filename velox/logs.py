"""How Velox logs: one configuration for all its processes."""

import io
import json
import logging
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, Literal

from velox.core.text import printable

if TYPE_CHECKING:
    from structlog.stdlib import BoundLogger
    from structlog.typing import EventDict, ProcessorReturnValue, WrappedLogger

HUMAN = "%(asctime)s - %(levelname)s - %(message)s"
DATE = "%Y-%m-%d %H:%M:%S"
Form = Literal["human", "json"]
_FOR_LOGGING: Final = ("exc_info", "stack_info", "stacklevel")
_encode: Final = json.JSONEncoder(ensure_ascii=False).encode
"""Made once: `json.dumps` makes one for each line."""


class _HumanFormatter(logging.Formatter):
    """One line, in the form that users of the first system know; the second is written out once, not for each line."""

    def __init__(self) -> None:
        super().__init__(HUMAN)
        self._second, self._text = 0, ""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Write the line; what a stranger wrote into the message makes no line of its own."""
        record.message = printable(record.message + _told(record))
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802, ANN401 - logging's name; what sys.exc_info() returns
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

    def __init__(self, pipeline: str) -> None:
        super().__init__()
        self._always = {"pipeline": printable(pipeline)} if pipeline else {}
        self._second, self._text = 0, ""

    def format(self, record: logging.LogRecord) -> str:
        """Write time (ISO 8601, UTC), level, logger, process, pipeline, what is bound, message and traceback."""
        second = int(record.created)
        if second != self._second:
            self._second, self._text = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        line: dict[str, object] = {
            "time": f"{self._text}.{int((record.created - second) * 1000):03d}+00:00",
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            **self._always,
            "message": printable(record.getMessage()),
        }
        if record.exc_info:
            line["error"] = _printable_lines(self.formatException(record.exc_info))
        if fields := {**_bound(), **_fields(record)}:
            line |= {name: _plain(value) for name, value in fields.items() if name not in line}
        return _encode(line)


def _fields(record: logging.LogRecord) -> Mapping[str, object]:
    """Return what a logger of `logger` was given beside the message."""
    fields: Mapping[str, object] = vars(record).get("fields", {})
    return fields


def _told(record: logging.LogRecord) -> str:
    """Write these fields behind the message."""
    fields = _fields(record)
    return f" ({', '.join(f'{name}={value}' for name, value in fields.items())})" if fields else ""


def _bound() -> Mapping[str, object]:
    """Return what `bound` has bound for this thread or task."""
    # Where it is not loaded, or not yet, nobody has bound anything.
    ask = getattr(sys.modules.get("structlog.contextvars"), "get_contextvars", dict)
    fields: Mapping[str, object] = ask()
    return fields


def _plain(value: object) -> object:
    """Leave what JSON knows, which NaN and infinity are not among; write all else as text."""
    if value is None or isinstance(value, int) or (isinstance(value, float) and isfinite(value)):
        return value
    return printable(str(value))


def _printable_lines(text: str, *, indent: str = "") -> str:
    return "\n".join(indent + printable(line) for line in text.splitlines())


def replace_what_cannot_be_shown() -> None:
    """Write ``?`` for a character that standard output has no code for: where it is ASCII or Latin-1, and for bytes.

    An environment may hold bytes that are no text; Python hands them on as characters that no encoding has.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def bound(**fields: object) -> AbstractContextManager[None]:
    """Have each JSON line of this thread or task carry these fields, such as a request's id, while the block lasts.

    Threads started within the block do not inherit them; tasks do. They never replace a field that every line has.
    """
    from structlog.contextvars import bound_contextvars  # noqa: PLC0415 - takes 9 MiB, which few processes need

    return bound_contextvars(**fields)


def logger(name: str) -> "BoundLogger":
    """Make a structlog logger for fields beside the message: ``log.info("accepted", request_id="…")``.

    JSON lines carry them by name, human lines in brackets behind the message. It costs several times as much as
    ``logging.getLogger``: take that one where records flow.
    """
    import structlog  # noqa: PLC0415 - as above

    made: BoundLogger = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[structlog.stdlib.filter_by_level, structlog.stdlib.PositionalArgumentsFormatter(), _hand_over],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    return made


def _hand_over(_logger: "WrappedLogger", _method: str, event: "EventDict") -> "ProcessorReturnValue":
    """Turn what structlog has gathered into a call of a logger of the standard library."""
    message = event.pop("event")
    options = {name: event.pop(name) for name in _FOR_LOGGING if name in event}
    return (message,), {"extra": {"fields": dict(event)}, **options}


def configure(*, level: str = "INFO", form: Form = "human", pipeline: str = "") -> None:
    """Log to standard output, whole lines, in the form of ``LOG_FORMAT``. Call once, at a process's start.

    ``pipeline`` names the pipeline that the process works for; JSON lines carry it, human lines do not.
    """
    replace_what_cannot_be_shown()  # here too: an inference process begins with this
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonFormatter(pipeline) if form == "json" else _HumanFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Neither form says where in the code or on which thread: finding that out is a third of a line's cost.
    logging.logThreads = logging.logMultiprocessing = False
    logging._srcfile = None  # the way that logging's own documentation names
    logging.getLogger("pymongo").setLevel(logging.WARNING)
