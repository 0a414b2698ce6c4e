"""How Velox logs: one configuration for all its processes."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal

HUMAN = "%(asctime)s - %(levelname)s - %(message)s"
DATE = "%Y-%m-%d %H:%M:%S"


class _JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Write time (ISO 8601, UTC), level, logger, process, message and traceback."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure(*, level: str = "INFO", form: Literal["human", "json"] = "human") -> None:
    """Log to standard output, whole lines, in the form of ``LOG_FORMAT``. Call once, at a process's start."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonFormatter() if form == "json" else logging.Formatter(HUMAN, DATE))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("pymongo").setLevel(logging.WARNING)
