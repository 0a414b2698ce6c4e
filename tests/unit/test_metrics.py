"""The catalogue of metrics and what is exported are the same thing."""

import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from velox.commands.metrics import catalogues, markdown
from velox.metrics.consumer import ConsumerMetrics
from velox.metrics.metric import Metric, Metrics

KINDS = [kind for _title, _intro, kind in catalogues()]
CATALOGUE = [metric for kind in KINDS for metric in kind.catalogue()]

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"

COMPATIBLE = {"batch_avg_confidence", "target_shapes_found_total"}
"""Names that users of the first system of this kind have in their dashboards."""
UNBOUNDED = {"id", "record_id", "offset", "key", "pid", "process", "path", "error", "message", "timestamp", "worker"}
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


@pytest.fixture
def metrics() -> ConsumerMetrics:
    return ConsumerMetrics()


def families(metrics: Metrics) -> dict[str, tuple[str, str]]:
    """Read the exposition as Prometheus does: kind and help by name, counters with their ``_total``."""
    text = generate_latest(metrics.registry).decode()
    found = {}
    for family in text_string_to_metric_families(text):
        if not family.name.endswith("_created"):
            name = family.name + ("_total" if family.type == "counter" else "")
            found[name] = (family.type, family.documentation)
    return found


@each_kind
def test_the_catalogue_and_the_exposition_agree(kind: type[Metrics]) -> None:
    assert families(kind()) == {spec.name: (spec.kind, spec.meaning) for spec in kind.catalogue()}


def test_every_name_is_in_the_catalogue_once() -> None:
    names = [spec.name for spec in CATALOGUE]
    assert sorted(set(names)) == sorted(names)


@each_kind
def test_labels_are_those_of_the_catalogue(kind: type[Metrics]) -> None:
    metrics = kind()
    exported = {
        spec.name: set(getattr(collector, "_labelnames", ()))
        for spec in kind.catalogue()
        for collector in [metrics.registry._names_to_collectors[spec.name]]
    }
    assert exported == {spec.name: set(spec.labels) for spec in kind.catalogue()}


def test_names_carry_the_prefix_but_for_the_two_compatible_ones() -> None:
    assert {spec.name for spec in CATALOGUE if not spec.name.startswith("velox_")} == COMPATIBLE


@pytest.mark.parametrize("spec", CATALOGUE, ids=lambda spec: spec.name)
def test_names_follow_prometheus_conventions(spec: Metric[Any]) -> None:
    assert re.fullmatch(r"[a-z][a-z_]*[a-z]", spec.name)
    assert (spec.kind == "counter") == spec.name.endswith("_total")
    assert (spec.kind == "histogram") == bool(spec.buckets)
    assert list(spec.buckets) == sorted(spec.buckets)
    assert not re.search(r"_(ms|millis|kb|mb|percent)\b", spec.name), "base units only"


@pytest.mark.parametrize("spec", CATALOGUE, ids=lambda spec: spec.name)
def test_labels_are_few_and_never_ids(spec: Metric[Any]) -> None:
    assert len(spec.labels) <= 3
    assert UNBOUNDED.isdisjoint(spec.labels)


@pytest.mark.parametrize("spec", CATALOGUE, ids=lambda spec: spec.name)
def test_every_metric_says_what_it_means_and_what_to_do(spec: Metric[Any]) -> None:
    assert spec.meaning.endswith(".")
    assert spec.action.endswith(".")


def names(metrics: ConsumerMetrics, **labels: str) -> set[str]:
    """The names of the samples that carry these labels."""
    samples = (sample for family in metrics.registry.collect() for sample in family.samples)
    return {sample.name for sample in samples if labels.items() <= sample.labels.items()}


@pytest.mark.parametrize("model_first", [True, False])
def test_what_is_counted_of_a_topic_and_a_model_is_there_before_the_first_record(
    metrics: ConsumerMetrics, model_first: bool
) -> None:
    if model_first:
        metrics.predicts_with("mobilenet_v2")
    metrics.reads(["camera_1", "camera_1", "camera_2"])
    metrics.predicts_with("mobilenet_v2")
    for topic in ("camera_1", "camera_2"):
        for outcome, model in (("predicted", "mobilenet_v2"), ("dead_lettered", ""), ("dropped", "")):
            labels = {"outcome": outcome, "topic": topic, "model": model}
            assert metrics.registry.get_sample_value("velox_records_total", labels) == 0
        assert "velox_end_to_end_seconds_count" in names(metrics, topic=topic, model="mobilenet_v2")
        assert {"velox_dropped_records_total", "velox_decode_warnings_total"} <= names(metrics, topic=topic)


def test_a_topic_that_comes_back_goes_on_where_it_was(metrics: ConsumerMetrics) -> None:
    metrics.reads(["camera_1"])
    metrics.drop("null_value", "camera_1")
    metrics.reads(["camera_1"])
    assert metrics.total("velox_dropped_records_total", cause="null_value", topic="camera_1") == 1
    assert metrics.total("velox_records_total", outcome="dropped") == 1


def test_a_total_is_of_all_series_with_the_labels_asked_for(metrics: ConsumerMetrics) -> None:
    for outcome, topic, count in (("predicted", "a", 1), ("predicted", "b", 2), ("dropped", "a", 4)):
        metrics.records.labels(outcome, topic, "m").inc(count)
    for seconds in (0.1, 0.3):
        metrics.end_to_end.labels("a", "m").observe(seconds)
    assert metrics.total("velox_records_total") == 7
    assert metrics.total("velox_records_total", outcome="predicted") == 3
    assert metrics.total("velox_records_total", outcome="predicted", topic="b") == 2
    assert metrics.total("velox_records_total", topic="c") == 0
    assert metrics.total("velox_end_to_end_seconds_count", topic="a") == 2
    assert metrics.total("velox_end_to_end_seconds_sum") == pytest.approx(0.4)


def test_the_compatible_metrics_have_no_labels() -> None:
    assert {spec.name: tuple(spec.labels) for spec in CATALOGUE if spec.name in COMPATIBLE} == dict.fromkeys(
        COMPATIBLE, ()
    )


def test_the_compatible_counter_is_there_before_the_first_detection(metrics: ConsumerMetrics) -> None:
    assert metrics.registry.get_sample_value("target_shapes_found_total") == 0


def test_two_consumers_in_one_process_share_nothing(metrics: ConsumerMetrics) -> None:
    metrics.targets.inc()
    assert ConsumerMetrics().registry.get_sample_value("target_shapes_found_total") == 0


def test_the_page_is_the_generated_one() -> None:
    assert PAGE.read_text() == markdown(), "run `velox metrics > docs/metrics.md`"


def test_the_page_has_one_row_of_five_cells_for_each_metric() -> None:
    rows = [line for line in markdown().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == [spec.name for spec in CATALOGUE]
    assert {row.count("|") for row in rows} == {6}
