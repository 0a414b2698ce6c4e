"""The table of faults in docs/delivery.md is about the tests that there are."""

import json
import subprocess
import sys

from benchmarks.document import read_section
from tests.faults import table


def test_the_table_has_a_row_for_every_test_that_breaks_something() -> None:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "faults", "tests/faults"]
    collected = subprocess.run(command, cwd=table.ROOT, capture_output=True, text=True, check=True).stdout
    tests = {line.removeprefix("tests/") for line in collected.splitlines() if "::" in line}
    assert tests, collected
    assert set(json.loads(table.JSON.read_text())["tests"]) == tests, "run `make faults`"


def test_the_table_is_what_the_last_run_measured() -> None:
    assert table.render() == read_section(table.SECTION, page=table.DOCUMENT), "run `make faults`"
