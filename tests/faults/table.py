"""The table of faults in docs/delivery.md: what each test breaks, what is promised, and what the last run measured."""

import json
import os
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from benchmarks.document import write_section

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs/delivery.md"
JSON = Path(__file__).with_name("measured.json")
SECTION = "faults"
MEASURED: dict[str, dict[str, Any]] = {}
"""What the tests of this run measured, by their node ids below tests/; filled by conftest.py."""

Rows = dict[str, dict[str, Any]]


def describe(item: pytest.Item) -> dict[str, Any]:
    """The fault and the promise that a test's marker names."""
    marker = item.get_closest_marker("fault")
    assert marker is not None, f"{item.nodeid}: which fault is it? Mark it with @pytest.mark.fault(fault, promise)"
    fault, promise = marker.args
    case = re.search(r"\[(.*)\]$", item.name)
    return {"fault": f"{fault}: {case[1]}" if case else fault, "promise": promise}


def node_id(item: pytest.Item) -> str:
    """Where a test is, below tests/."""
    return item.nodeid.removeprefix("tests/")


def write(items: Iterable[pytest.Item], *, is_whole: bool) -> None:
    """Keep what this run measured, and write the table; a run of all tests forgets those that are gone.

    A test that fails keeps what it measured when it last passed.
    """
    before: Rows = json.loads(JSON.read_text())["tests"]
    rows: Rows = {} if is_whole else dict(before)
    for item in items:
        node = node_id(item)
        last = {name: value for name, value in before.get(node, {}).items() if name not in {"fault", "promise"}}
        rows[node] = describe(item) | MEASURED.get(node, last)
    run = {"date": datetime.now(UTC).date().isoformat(), "cores": os.cpu_count(), "tests": dict(sorted(rows.items()))}
    JSON.write_text(json.dumps(run, indent=1, ensure_ascii=False) + "\n")
    write_section(SECTION, render(), page=DOCUMENT)


def render() -> str:
    """The table, from what the last run measured."""
    run = json.loads(JSON.read_text())
    lines = [
        f"Measured on {run['date']}, {run['cores']} cores. Recovery: the longest time in which nothing was stored, "
        "from the fault on, or from the end of an outage.",
        "",
        "| fault | promised beyond the ledger | test | recovery, s | duplicates absorbed |",
        "|---|---|---|---|---|",
    ]
    for node, row in run["tests"].items():
        cells = (row["fault"], row["promise"], f"`{node.partition('[')[0]}`", row.get("recovery_s", "–"))
        lines.append(f"| {' | '.join(map(str, cells))} | {row.get('duplicates', '–')} |")
    return "\n".join(lines)
