"""How a comparison ends: always saved, recorded only when asked for."""

import json
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.peers import ending
from benchmarks.report import Circumstances

WHERE = Circumstances(
    date="2026-01-15T10:30:45+00:00", commit="abc", cpu="a processor", cores=2, load=0.1, python="3.11", torch="2"
)


@pytest.mark.parametrize("recorded", [False, True])
def test_figures_are_saved_and_what_documents_show_changes_only_when_recorded(
    recorded: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept: list[tuple[str, dict[str, int]]] = []
    sections: list[tuple[str, str]] = []
    monkeypatch.setattr(report, "REPOSITORY", tmp_path)
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(report, "record", lambda name, _where, figures: kept.append((name, figures)))
    monkeypatch.setattr(ending, "write_section", lambda name, text: sections.append((name, text)))
    ending.end("objects", WHERE, {"rows": 3}, "| a | table |", recorded=recorded)
    (saved,) = (tmp_path / "results").iterdir()
    assert json.loads(saved.read_text())["rows"] == 3
    assert capsys.readouterr().out == f"| a | table |\nFigures in results/{saved.name}\n"
    assert kept == [("objects", {"rows": 3})] * recorded
    assert sections == [("objects", "| a | table |")] * recorded
