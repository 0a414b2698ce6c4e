"""What is measured of gateways beside others, and how it is written into the documents."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from benchmarks import report
from benchmarks.document import read_section
from benchmarks.peers import accept_outcomes, kill_outcomes, text_outcomes
from benchmarks.peers.accept_outcomes import Row, Taken
from benchmarks.peers.kill_outcomes import Outcome
from benchmarks.peers.kills import KILLS, PLAN, QUICK
from benchmarks.peers.sentiment import sentiment
from benchmarks.peers.texts import PEER
from benchmarks.peers.window import Window

LOSER = Outcome(
    name="a peer",
    versions={"celery": "5.7.0"},
    settings="its defaults",
    accepted=2000,
    missing=12,
    late=3,
    gone=1012,
    doubled=None,
    lasted_s=71.6,
    faults=KILLS,
)


def _kills(found: dict[str, Any]) -> str:
    return kill_outcomes.section(found["introduction"], [Outcome(**one) for one in found["outcomes"]])


def _accepts(found: dict[str, Any]) -> str:
    rows = [Row(row["name"], [Taken(**one) for one in row["rounds"]]) for row in found["rows"]]
    return accept_outcomes.section(found["introduction"], rows)


def _texts(found: dict[str, Any]) -> str:
    rows = [text_outcomes.Row(**{**row, "windows": [Window(**one) for one in row["windows"]]}) for row in found["rows"]]
    return text_outcomes.section(found["introduction"], rows, found["terms"], peer=PEER)


SECTIONS: dict[str, Callable[[dict[str, Any]], str]] = {"kills": _kills, "accepts": _accepts, "texts": _texts}


@pytest.mark.parametrize("name", SECTIONS)
def test_the_page_shows_what_was_recorded_of_gateways(name: str) -> None:
    found = report.recorded(name)
    expected = "Not recorded yet." if found is None else SECTIONS[name](found).strip()
    assert read_section(name) == expected, f"run `make bench-{name} ARGS=--record`"


def test_what_cannot_be_seen_of_a_system_is_no_zero() -> None:
    assert LOSER.figures() == ["a peer", "2,000", "12", "3", "1,012", "–", "72"]


def test_a_recorded_outcome_is_read_again() -> None:
    assert _kills({"introduction": "Here.", "outcomes": [asdict(LOSER)]}).splitlines()[-1] == (
        "| a peer | celery 5.7.0 | its defaults |"
    )


@pytest.mark.parametrize("plan", [PLAN, QUICK])
def test_each_part_is_killed_as_often_as_asked_and_the_broker_in_the_middle(plan: Any) -> None:  # noqa: ANN401
    assert {role: plan.faults.count(role) for role in KILLS} == KILLS
    assert plan.faults[:3] == ["gateway", "worker", "gateway"]
    assert plan.faults[5] == "broker"


def test_what_a_gateway_accepts_is_compared_with_the_peer_in_the_same_round() -> None:
    def row(name: str, *rates: float, p99_ms: float | None = 90.0) -> Row:
        return Row(name, [Taken(per_s=rate, p50_ms=40.0, p99_ms=p99_ms, cpu_ms=1.5) for rate in rates])

    peer, own, batches = row("peer", 400, 200), row("own", 200, 100), row("batches", 800, 400, p99_ms=None)
    table = _accepts({"introduction": "", "rows": [asdict(each) for each in (peer, own, batches)]}).splitlines()
    assert table[-2:] == [
        "| own | 100.0 / 150.0 / 200.0 | 0.50 × | 40.0 | 90.0 | 1.50 |",
        "| batches | 400.0 / 600.0 / 800.0 | 2.00 × | 40.0 | – | 1.50 |",
    ]


def test_texts_are_compared_with_the_synchronous_way_by_model_and_length() -> None:
    def row(system: str, *texts: int, model: str = "tiny", tokens: int = 32) -> text_outcomes.Row:
        windows = [Window(count=count, lasted_s=2.0, cpu_s=1.0) for count in texts]
        return text_outcomes.Row(model=model, tokens=tokens, system=system, windows=windows)

    rows = [row("own", 800), row("own", 80, model="full"), row(PEER, 100), row(PEER, 40, model="full")]
    table = _texts({"introduction": "", "rows": [asdict(each) for each in rows], "terms": [["own", "its defaults"]]})
    assert table.splitlines()[4:8] == [
        "| tiny | 32 | own | 400.0 / 400.0 / 400.0 | 8.00 × | 1.25 |",
        f"| tiny | 32 | {PEER} | 50.0 / 50.0 / 50.0 | 1.00 × | 10.00 |",
        "| full | 32 | own | 40.0 / 40.0 / 40.0 | 2.00 × | 12.50 |",
        f"| full | 32 | {PEER} | 20.0 / 20.0 / 20.0 | 1.00 × | 25.00 |",
    ]


def test_every_peer_gives_the_same_text_the_same_label() -> None:
    assert [sentiment(text) for text in ("A GREAT film", "poor and broken", "a phone")] == [
        "POSITIVE",
        "NEGATIVE",
        "NEUTRAL",
    ]
