"""What `make bench` and `make bench-check` compute and write, on figures made up here."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import cv2
import numpy as np
import pytest

from benchmarks import photos, report
from benchmarks.document import read_section
from benchmarks.figures import Roofline
from benchmarks.programs import BenchmarkError
from benchmarks.report import Circumstances
from benchmarks.throughput import check, measuring, plan, stages
from benchmarks.throughput.page import section, short
from benchmarks.throughput.plan import SCENES, Job, Scene, jobs
from benchmarks.throughput.runs import Mark, Outcome, problems, steady
from benchmarks.throughput.summary import Stages, rooflines, summarise
from benchmarks.throughput.variants import NAIVE, VELOX, Design, variants
from velox.settings import Settings
from velox.sources import open_source

SCENE = Scene("shapes", "shapes", "Kafka", count=100, naive_count=10, rounds=3)
TORCH = Design("torch", {"BACKEND": "torch"})
ONNX = Design("onnxruntime", {"BACKEND": "onnxruntime"})
ALONE = {"poll, parse": 0.1, "decode": 0.2, "resize": 0.1, "predict": 4.0, "hand over": 0.1, "store": 0.5}
STAGES: Stages = {"alone": ALONE, "at_once": {**ALONE, "predict": 6.5}}
WHERE: dict[str, Any] = {
    "date": "2026-11-21T10:00:00",
    "commit": "abc1234",
    "cpu": "a processor",
    "cores": 2,
    "load": 0.1,
    "python": "3.11.7",
    "torch": "2.15",
}


def outcome(
    design: Design, number: int, per_s: float, *, documents: int | None = None, files: int | None = None
) -> Outcome:
    job = Job(SCENE, design, number)
    stored = job.count if documents is None else documents
    labels: Mapping[object, str] = {(0, offset): "red_circle" for offset in range(stored)}
    return Outcome(
        job=job,
        documents=stored,
        files=stored if files is None else files,
        start_s=1.5,
        per_s=per_s,
        cpu_ms={"fetcher": 0.5, "inference": 5.0, "broker": 0.5, "database": 0.5},
        says="OpenVINO runs the model",
        labels=labels,
    )


OUTCOMES = [
    *(outcome(NAIVE, number, per_s) for number, per_s in enumerate((30.0, 40.0, 50.0))),
    *(outcome(VELOX, number, per_s) for number, per_s in enumerate((300.0, 360.0, 400.0))),
    outcome(TORCH, 1, 200.0),
]


def figures(*, ratio: float = 1.0) -> dict[str, object]:
    """A whole recording, as it comes back from JSON; Velox ``ratio`` times as fast as above."""
    made = [outcome(o.job.design, o.job.round, o.per_s * (1 if o.job.design == NAIVE else ratio)) for o in OUTCOMES]
    scene = summarise(SCENE, made, {VELOX.name: STAGES, TORCH.name: STAGES}, cores=2, image_bytes=9600)
    whole = {
        "circumstances": WHERE,
        "model": "the model model.pth",
        "minutes": 7.4,
        "patient_naive": False,
        "refused": {"torch int8": "no such thing"},
        "stages": {"shapes": STAGES},
        "scenes": [scene],
    }
    return dict(json.loads(json.dumps(whole)))


def test_a_roofline_is_what_all_cores_do_when_no_stage_waits_for_another() -> None:
    roofline = Roofline(2, {"decode": 1.0, "predict": 4.0})
    assert (roofline.sum_ms, roofline.per_s) == (5.0, 400.0)
    assert roofline.bound == "predict, 80 %"


def test_each_roofline_counts_more_of_what_the_cores_did() -> None:
    found = rooflines(STAGES, {"inference": 9.0, "broker": 1.0, "database": 1.5}, 2)
    assert found == pytest.approx({"alone": 400.0, "at once": 2000 / 7.5, "with servers": 200.0})


def test_the_steady_part_lies_between_two_marks() -> None:
    marks = [Mark(10.0, 100, {"fetcher": 1.0}), Mark(15.0, 600, {"fetcher": 2.0, "inference": 4.0})]
    assert steady(marks, "run") == (100.0, {"fetcher": 2.0, "inference": 8.0})


def test_documents_that_come_all_at_once_are_no_measurement() -> None:
    with pytest.raises(BenchmarkError, match="run: all 600 documents came at once"):
        steady([Mark(10.0, 600, {}), Mark(10.1, 600, {})], "run")


def test_every_design_runs_beside_the_naive_one_in_the_same_round() -> None:
    designs = [Design(f"variant {number}") for number in range(5)]
    planned = jobs(SCENES, designs)
    assert len({job.name for job in planned}) == len(planned)
    for job in planned:
        partners = {other.design for other in planned if (other.scene, other.round) == (job.scene, job.round)}
        assert VELOX in partners
        assert (NAIVE in partners) == bool(job.scene.naive_count)
    for design in designs:
        assert len([job for job in planned if job.design == design]) == 2
    assert {job.scene for job in planned if job.design in designs} == {SCENES[0]}


def test_a_design_is_not_run_twice_in_one_round() -> None:
    once = Scene("shapes", "shapes", "Kafka", count=100, naive_count=10, rounds=1)
    assert [job.design for job in jobs([once], [TORCH, ONNX])] == [NAIVE, VELOX, TORCH, ONNX]


def test_the_naive_design_gets_fewer_records() -> None:
    assert (Job(SCENE, NAIVE, 0).count, Job(SCENE, VELOX, 0).count) == (10, 100)


def test_a_run_that_stored_too_much_or_too_little_is_named() -> None:
    assert problems(OUTCOMES) == []
    assert problems([outcome(VELOX, 0, 1.0, documents=99)]) == [
        "shapes-velox-0: 99 documents, 99 files, 99 positions; 100 were to be stored"
    ]
    assert problems([outcome(VELOX, 0, 1.0, files=101)])
    assert problems([outcome(NAIVE, 0, 1.0, documents=9)])


def test_the_naive_design_may_be_stopped_between_a_file_and_its_document() -> None:
    assert problems([outcome(NAIVE, 0, 1.0, documents=14, files=15)]) == []
    assert problems([outcome(NAIVE, 0, 1.0, documents=14, files=16)])


def test_ratios_are_between_runs_of_one_round() -> None:
    scene = summarise(SCENE, OUTCOMES, {VELOX.name: STAGES}, cores=2, image_bytes=1)
    assert scene["designs"]["Velox"]["ratios"] == [10.0, 9.0, 8.0]
    assert scene["designs"]["torch"]["ratios"] == [5.0]
    assert scene["agreement"] == 1.0


def test_only_installed_backends_are_measured_in_each_precision_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.throughput.variants.is_installed", lambda name: name == "torch")
    measured = variants()
    assert measured
    assert {design.settings["BACKEND"] for design in measured} == {"torch"}
    named = [design.settings.get("PRECISION") for design in measured]
    assert (len(measured) > 1) == ("precision" in Settings.model_fields)
    assert len(set(named)) == len(named)
    assert "auto" not in named


def test_photos_are_always_the_same_each_another_and_as_large_as_said() -> None:
    first = photos.picture(0)
    assert first.shape == (512, 512, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, photos.picture(0))
    assert not np.array_equal(first, photos.picture(1))


def test_photos_are_a_source_of_labelled_images(tmp_path: Path) -> None:
    source = open_source(Settings.model_construct(source_loop=False), photos.write(tmp_path, count=3))
    items = list(source)
    assert len(items) == 3
    assert {"color_label", "shape_label"} <= set(items[0].metadata)
    assert 105_000 < measuring._mean_bytes(f"folder:{tmp_path}") < 127_000
    assert cv2.imdecode(np.frombuffer(items[0].payload, np.uint8), cv2.IMREAD_COLOR) is not None


class Answering(SimpleQueue[int]):
    """Answers what was submitted first, and only when asked."""

    def __init__(self) -> None:
        self.waiting: list[int] = []
        self.most = 0

    def submit(self, some: Sequence[str]) -> None:
        self.waiting.append(len(some))
        self.most = max(self.most, sum(self.waiting))

    def get(self, block: bool = True, timeout: float | None = None) -> int:
        return self.waiting.pop(0)


def test_no_more_than_agreed_is_in_hand_while_a_stage_is_timed() -> None:
    answering = Answering()
    stages.flow(["record"] * 50, answering.submit, answering, most=20, at_once=8)
    assert answering.most == 18
    assert answering.waiting == []


def test_the_section_shows_what_was_recorded() -> None:
    page = section(figures())
    assert "2026-11-21, commit abc1234: 2 cores of a processor" in page
    assert "| shapes (9.6 KB) | Velox | 300.0 / 360.0 / 400.0 | 8.0 / 9.0 / 10.0 | 1.5 |" in page
    assert "| shapes (9.6 KB) | naive | 30.0 / 40.0 / 50.0 | – | 1.5 |" in page
    assert "| shapes (9.6 KB) | Velox | 90 % of 400/s | 135 % of 267/s | 153 % of 235/s |" in page
    assert "| shapes | alone | 0.100 | 0.200 | 0.100 | 4.000 | 0.100 | 0.500 | 5.000 | predict, 80 % |" in page
    assert "Not measured: torch int8, no such thing" in page


def test_the_section_begins_with_what_to_conclude() -> None:
    first, second, third, fourth, fifth = section(figures()).splitlines()[:5]
    assert first == "- Velox stores 9.0 times as many shapes a second as the naive design (360.0 against 40.0)."
    assert "instead of" in second
    assert "predict, 80 % (shapes)." in third
    assert "from torch (200.0 images/s) to Velox (360.0)" in fourth
    assert "reaches 135 % of the roofline" in fifth


def test_the_short_table_sets_velox_beside_the_naive_design() -> None:
    table = short(figures())
    assert "| images/s, shapes (9.6 KB) | 40.0 | 360.0 | 9.0 (8.0–10.0) |" in table
    assert "90 % of the roofline" in table


@pytest.mark.parametrize(
    ("ratio", "is_slower"), [(1.0, False), (1.3, False), (0.91, False), (0.88, False), (0.75, True)]
)
def test_slower_by_a_tenth_fails_the_check_only_beyond_the_spread(ratio: float, is_slower: bool) -> None:
    (comparison,) = check.compare(figures(), figures(ratio=ratio))
    assert comparison.is_regression == is_slower
    assert ("SLOWER" in comparison.text()) == is_slower


def test_a_loss_within_the_spread_is_said() -> None:
    (comparison,) = check.compare(figures(), figures(ratio=0.88))
    assert comparison.text().endswith("-12 %: within the spread")


ZEN_4 = Circumstances(**{**WHERE, "capabilities": ["AVX2", "AVX-512", "VNNI", "bf16"]})


def test_a_processor_of_another_name_that_computes_alike_is_compared_by_ratios() -> None:
    same = "Recorded on a machine like this one, 2 cores of a processor (AVX2, AVX-512, VNNI, bf16)"
    assert check.machines(ZEN_4, ZEN_4) == (same, True)
    renamed = replace(ZEN_4, cpu="another", capabilities=tuple(ZEN_4.capabilities))
    assert check.unlike(ZEN_4, renamed) is None
    said, is_same = check.machines(ZEN_4, renamed)
    assert not is_same
    assert said.endswith("this is 2 cores of another (AVX2, AVX-512, VNNI, bf16): only ratios are compared")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            {"capabilities": ("AVX2",)},
            "Recorded on 2 cores with AVX2, AVX-512, VNNI, bf16; this machine has 2 with AVX2: ratios differ, nothing "
            "to compare with. `make bench` records here",
        ),
        ({"cores": 8}, "this machine has 8 with AVX2, AVX-512, VNNI, bf16"),
        ({"capabilities": ()}, "this machine has 2 with a processor"),
    ],
)
def test_cores_that_compute_otherwise_are_not_compared(other: dict[str, Any], said: str) -> None:
    assert said in (check.unlike(ZEN_4, replace(ZEN_4, **other)) or "")


def test_where_it_is_not_known_what_cores_compute_with_their_name_decides() -> None:
    unknown = replace(ZEN_4, capabilities=())
    assert check.unlike(unknown, unknown) is None
    assert check.unlike(unknown, replace(unknown, cpu="another")) is not None


def test_a_check_that_cannot_check_fails_before_it_measures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = report.circumstances()
    there = {**asdict(here), "capabilities": [*here.capabilities, "AMX-2040"]}
    monkeypatch.setattr(report, "recorded", lambda _name: {**figures(), "circumstances": there})
    assert check.main([]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "AMX-2040; this machine has" in said
    assert "`make bench` records here" in said


def test_a_scene_that_was_not_recorded_is_not_compared() -> None:
    other = figures()
    other["scenes"] = []
    assert check.compare(other, figures()) == []
    assert check.absolute(other, figures()) == []


def test_a_check_without_a_recording_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(report, "recorded", lambda _name: None)
    assert check.main([]) == 2
    assert "make bench" in capsys.readouterr().err


def test_the_short_version_measures_scenes_of_the_whole() -> None:
    assert {scene.name for scene in plan.QUICK} <= {scene.name for scene in SCENES}


def test_documents_show_the_recorded_figures() -> None:
    recorded = report.recorded("throughput")
    if recorded is None:
        assert "Not measured yet" in read_section("throughput")
    else:
        assert read_section("throughput") == section(recorded), "run `make bench`"
        assert read_section("throughput", page=report.REPOSITORY / "README.md") == short(recorded), "run `make bench`"
