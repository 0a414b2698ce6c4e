"""What the log looks like, in both forms, whatever is written into it."""

import asyncio
import io
import json
import logging
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from velox import logs

HOSTILE = "x\r\n2026-01-01 00:00:00 - ERROR - LIE \x1b[2J \ud800"
AT = 1700000000.25


class Console(io.TextIOWrapper):
    """A standard output that can be read."""

    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding=encoding)

    @property
    def lines(self) -> list[str]:
        self.flush()
        written = self.buffer.getvalue()  # type: ignore[attr-defined]  # it is the BytesIO from above
        return str(written.decode(self.encoding)).split("\n")[:-1]


@pytest.fixture(autouse=True)
def _own_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put the log of the tests aside."""
    root, pymongo = logging.getLogger(), logging.getLogger("pymongo")
    levels = {logger: logger.level for logger in (root, pymongo)}
    for name in ("logThreads", "logMultiprocessing", "_srcfile"):
        monkeypatch.setattr(logging, name, getattr(logging, name))
    handlers, root.handlers = root.handlers, []
    yield
    root.handlers = handlers
    for logger, level in levels.items():
        logger.setLevel(level)


Configure = Callable[..., Console]


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Configures the log, and answers where it goes."""

    def on_console(*, encoding: str = "utf-8", **options: Any) -> Console:  # noqa: ANN401 - what `configure` takes
        console = Console(encoding)
        monkeypatch.setattr(sys, "stdout", console)
        logs.configure(**options)
        return console

    return on_console


@pytest.fixture
def _west_of_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC+3")
        time.tzset()
        yield
    time.tzset()


log = logging.getLogger("velox.test")


def at(seconds: float, message: str = "here", **changes: Any) -> logging.LogRecord:  # noqa: ANN401 - any attribute
    record = log.makeRecord(log.name, logging.WARNING, "file", 1, message, (), None)
    record.created = seconds
    vars(record).update(changes)
    return record


@pytest.mark.usefixtures("_west_of_greenwich")
def test_a_line_has_local_time_level_and_message(configure: Configure) -> None:
    console = configure()
    for seconds in (AT, AT + 0.7, AT + 1, AT):
        log.handle(at(seconds))
    assert console.lines == [
        "2023-11-14 19:13:20 - WARNING - here",
        "2023-11-14 19:13:20 - WARNING - here",
        "2023-11-14 19:13:21 - WARNING - here",
        "2023-11-14 19:13:20 - WARNING - here",
    ]


@pytest.mark.usefixtures("_west_of_greenwich")
def test_a_line_of_json_says_when_where_and_what(configure: Configure) -> None:
    console = configure(form="json")
    log.handle(at(AT, "stored %d of %s", args=(3, "Grüße"), process=77))
    (line,) = console.lines
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.250+00:00",
        "level": "WARNING",
        "logger": "velox.test",
        "process": 77,
        "message": "stored 3 of Grüße",
    }


@pytest.mark.parametrize("form", ["human", "json"])
def test_what_a_stranger_wrote_makes_no_line_of_its_own(configure: Configure, form: str) -> None:
    console = configure(form=form)
    log.warning("it says %s", HOSTILE)
    (line,) = console.lines
    said = json.loads(line)["message"] if form == "json" else line
    assert said.endswith(r"it says x\r\n2026-01-01 00:00:00 - ERROR - LIE \x1b[2J \ud800")


@pytest.mark.parametrize("form", ["human", "json"])
def test_an_error_is_told_with_where_it_came_from(configure: Configure, form: str) -> None:
    console = configure(form=form)
    try:
        int("no number")
    except ValueError:
        log.exception("The writer failed")
    if form == "json":
        (line,) = console.lines
        first, error = json.loads(line)["message"], json.loads(line)["error"].split("\n")
    else:
        first, *error = console.lines
    assert first.endswith("The writer failed")
    assert error[0].strip() == "Traceback (most recent call last):"
    assert any("test_logs.py" in each for each in error)
    assert error[-1].strip() == "ValueError: invalid literal for int() with base 10: 'no number'"


def test_what_a_stranger_wrote_into_an_error_looks_like_no_line_of_the_log(configure: Configure) -> None:
    console = configure()
    log.error("The model failed", exc_info=ValueError(HOSTILE))
    dated = [line for line in console.lines if re.match(r"\d{4}-", line)]
    assert [line.partition(" - ERROR - ")[2] for line in dated] == ["The model failed"]
    assert all(line.isprintable() for line in console.lines)


def test_what_a_stranger_wrote_into_an_error_is_printable_in_json_too(configure: Configure) -> None:
    console = configure(form="json")
    log.error("The model failed", exc_info=ValueError(HOSTILE))
    (line,) = console.lines
    assert all(each.isprintable() for each in json.loads(line)["error"].split("\n"))


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING", "ERROR"])
def test_nothing_below_the_level_is_logged(configure: Configure, level: str) -> None:
    console = configure(level=level)
    for name in ("DEBUG", "INFO", "WARNING", "ERROR"):
        log.log(logging.getLevelName(name), name)
    levels = ["DEBUG", "INFO", "WARNING", "ERROR"]
    assert [line.split(" - ")[2] for line in console.lines] == levels[levels.index(level) :]


def test_what_was_configured_before_is_replaced(configure: Configure) -> None:
    configure(level="DEBUG")
    console = configure(level="WARNING", form="json")
    log.info("nobody hears it")
    log.warning("once")
    (line,) = console.lines
    assert json.loads(line)["message"] == "once"


def test_what_mongodbs_driver_says_at_info_is_left_out(configure: Configure) -> None:
    console = configure(level="DEBUG")
    logging.getLogger("pymongo.topology").info("heartbeat")
    logging.getLogger("pymongo.topology").warning("away")
    assert [line.split(" - ")[2] for line in console.lines] == ["away"]


@pytest.mark.parametrize(("encoding", "shown"), [("ascii", "Gr??e ?"), ("latin-1", "Grüße ?"), ("utf-8", "Grüße 你")])
def test_a_character_that_standard_output_has_no_code_for_is_a_question_mark(
    configure: Configure, encoding: str, shown: str
) -> None:
    console = configure(encoding=encoding)
    log.warning("Grüße 你")
    (line,) = console.lines
    assert line.endswith(f" - WARNING - {shown}")


def test_a_standard_output_that_is_no_file_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = io.StringIO()
    monkeypatch.setattr(sys, "stdout", plain)
    logs.configure()
    log.warning("Grüße")
    assert plain.getvalue().endswith(" - WARNING - Grüße\n")


def test_a_line_of_json_names_the_pipeline_and_a_human_one_does_not(configure: Configure) -> None:
    console = configure(form="json", pipeline="sentiment")
    log.warning("here")
    (line,) = console.lines
    assert json.loads(line)["pipeline"] == "sentiment"
    console = configure(pipeline="sentiment")
    log.warning("here")
    assert [line.partition(" - ")[2] for line in console.lines] == ["WARNING - here"]


def test_a_line_of_json_carries_what_is_bound_while_it_is(configure: Configure) -> None:
    console = configure(form="json")
    with logs.bound(request_id="r-1", attempt=2, topic=None):
        with logs.bound(request_id="r-2"):
            log.warning("within")
        log.warning("around")
    log.warning("after")
    lines = [json.loads(line) for line in console.lines]
    assert [line.get("request_id") for line in lines] == ["r-2", "r-1", None]
    assert [line.get("attempt") for line in lines] == [2, 2, None]
    assert "topic" in lines[1]
    assert "topic" not in lines[2]


def test_what_json_does_not_know_is_bound_as_text(configure: Configure) -> None:
    console = configure(form="json")
    with logs.bound(share=0.5, ratio=float("nan"), most=float("inf"), where=AT, path=Path("a/b"), ok=True):
        log.warning("here")
    (line,) = console.lines

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is no JSON")

    said = json.loads(line, parse_constant=refuse)
    shown = [said[name] for name in ("share", "ratio", "most", "where", "path", "ok")]
    assert shown == [0.5, "nan", "inf", AT, "a/b", True]


def test_what_is_bound_does_not_show_in_a_human_line(configure: Configure) -> None:
    console = configure()
    with logs.bound(request_id="r-1"):
        log.warning("here")
    assert [line.partition(" - ")[2] for line in console.lines] == ["WARNING - here"]


def test_what_is_bound_in_one_task_does_not_show_in_another(configure: Configure) -> None:
    console = configure(form="json")

    async def answer(request_id: str) -> None:
        with logs.bound(request_id=request_id):
            await asyncio.sleep(0)
            log.warning("answered %s", request_id)

    async def answer_all() -> None:
        await asyncio.gather(*map(answer, ("a", "b", "c")))

    asyncio.run(answer_all())
    lines = [json.loads(line) for line in console.lines]
    assert {(line["request_id"], line["message"]) for line in lines} == {(n, f"answered {n}") for n in "abc"}


def test_nothing_bound_takes_the_place_of_what_every_line_has(configure: Configure) -> None:
    console = configure(form="json", pipeline="images")
    with logs.bound(message="lie", level="lie", pipeline="lie", error="lie", request_id=HOSTILE):
        log.error("true", exc_info=ValueError("true"))
    (line,) = console.lines
    said = json.loads(line)
    assert (said["message"], said["level"], said["pipeline"]) == ("true", "ERROR", "images")
    assert said["error"] == "ValueError: true"
    assert said["request_id"].isprintable()


def test_fields_of_a_line_stand_in_json_by_name_and_in_a_human_line_behind_the_message(configure: Configure) -> None:
    console = configure(form="json")
    logs.logger("velox.test").bind(route="/predict").warning("accepted %d", 3, request_id="r-1")
    (line,) = console.lines
    said = json.loads(line)
    assert {name: said[name] for name in ("logger", "level", "message", "route", "request_id")} == {
        "logger": "velox.test",
        "level": "WARNING",
        "message": "accepted 3",
        "route": "/predict",
        "request_id": "r-1",
    }
    console = configure()
    logs.logger("velox.test").warning("accepted %d", 3, request_id=HOSTILE[:3], count=1)
    assert [line.partition(" - ")[2] for line in console.lines] == [r"WARNING - accepted 3 (request_id=x\r\n, count=1)"]


def test_a_logger_for_fields_keeps_to_the_level_and_tells_errors(configure: Configure) -> None:
    console = configure(level="WARNING")
    teller = logs.logger("velox.test")
    teller.info("nobody hears it", request_id="r-1")
    try:
        int("no number")
    except ValueError:
        teller.exception("it failed", request_id="r-1")
    first, *error = console.lines
    assert first.endswith(" - ERROR - it failed (request_id=r-1)")
    assert error[-1] == "  ValueError: invalid literal for int() with base 10: 'no number'"


def test_a_process_that_binds_nothing_does_without_the_library_for_it() -> None:
    code = "import sys; from velox import logs; logs.configure(form='json'); import logging; logging.warning('x')"
    said = subprocess.run(
        [sys.executable, "-c", f"{code}; print('structlog' in sys.modules)"], capture_output=True, check=True
    )
    assert said.stdout.decode().splitlines()[-1] == "False"
