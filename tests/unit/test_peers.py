"""What the comparison with other designs computes and writes, and that its peers read records as Velox does."""

from dataclasses import replace

import pytest

from benchmarks.peers.catalogue import PEERS
from benchmarks.peers.job import Record
from benchmarks.peers.outcomes import FIGURES, Row, Run, section
from velox.core.envelope import frame

RUN = Run(documents=110, files=110, before=10, first_s=5.0, total_s=15.0, cpu_s=2.0, agreement=0.99)
VELOX = Row("Velox", {"torch": "2"}, "defaults", "at least once", runs=(RUN, RUN))


def test_the_rate_leaves_out_what_was_stored_before_the_first_look() -> None:
    assert RUN.per_s == 10.0
    assert RUN.end_to_end_per_s == pytest.approx(110 / 15)
    assert RUN.cpu_ms_each == 20.0


def test_a_row_is_compared_with_velox_round_by_round() -> None:
    slower = replace(RUN, total_s=25.0)
    slowest = replace(RUN, total_s=45.0)
    figures = replace(VELOX, name="other", runs=(slower, slowest)).figures(VELOX)
    assert figures[:3] == ["other", "2.5 / 3.8 / 5.0", "3.00 ×"]
    assert figures[-1] == "99.0 %"


def test_what_failed_keeps_its_row_and_says_so() -> None:
    figures = replace(VELOX, name="other", runs=(), failure="cannot be had").figures(VELOX)
    assert figures[:2] == ["other", "cannot be had"]
    assert len(figures) == len(FIGURES)


def test_a_section_has_every_program_with_its_versions_and_terms() -> None:
    other = replace(VELOX, name="other", versions={"ray": "2.60.0", "torch": "2"}, guarantee="none", runs=())
    lines = section("On this machine.", [VELOX, other]).splitlines()
    assert lines[0] == "On this machine."
    assert "| other | ray 2.60.0, torch 2 | defaults | none |" in lines
    tables = [line.count("|") for line in lines if line.startswith("|")]
    assert tables == [8] * 4 + [5] * 4


def test_peers_take_a_record_apart_as_velox_framed_it() -> None:
    metadata = {"shape_label": "circle", "color_label": "rød"}
    record = Record(3, 7, frame(metadata, b"\xff\xd8jpeg"))
    assert (record.metadata, record.jpeg) == (metadata, b"\xff\xd8jpeg")


def test_every_peer_says_its_libraries_settings_and_guarantee_and_none_twice() -> None:
    assert all(peer.libraries and peer.settings and peer.guarantee for peer in PEERS)
    assert len({peer.name for peer in PEERS}) == len(PEERS)
