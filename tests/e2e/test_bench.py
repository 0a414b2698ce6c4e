"""velox bench with a real topic, and without one."""

import json
import subprocess
import sys

from tests.e2e.conftest import PipelineFactory
from tests.e2e.pipeline import Pipeline


def bench(one: Pipeline, **settings: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "velox", "bench", "--for", "1s", "--count", "40", "--json", "bench.json"]
    env = one.environment(INFERENCE_PROCESSES=2, **settings)
    return subprocess.run(command, cwd=one.folder, env=env, capture_output=True, text=True, check=False)


def test_it_measures_the_own_model_on_the_own_records_and_leaves_no_trace(pipeline: PipelineFactory) -> None:
    one = pipeline(partitions=1, MODEL="tests.e2e.paced:SlowlyDecoding", BATCH_SIZE=4)
    one.publish(*[b"good"] * 60, b"bad")
    done = bench(one)
    assert done.returncode == 0, done.stderr
    assert f"the newest 40 records of {one.topic}" in done.stdout
    assert "decode bounds" in done.stdout
    report = json.loads((one.folder / "bench.json").read_text())
    assert (report["processes"], list(report["predict_ms"])) == (2, ["1", "2", "4"])
    assert report["decode_ms"] > 10
    assert one.uncommitted() == 61
    assert one.count() == 0


def test_without_a_topic_it_takes_what_the_source_draws(pipeline: PipelineFactory) -> None:
    one = pipeline(MODEL="tests.e2e.fragile:LengthModel")
    done = bench(one, KAFKA_TOPIC="there-is-none")
    assert done.returncode == 0, done.stderr
    assert "40 of SOURCE=shapes" in done.stdout


def test_a_model_that_cannot_be_measured_is_one_line(pipeline: PipelineFactory) -> None:
    one = pipeline(partitions=1)
    one.publish(*[b"bad"] * 40)
    done = bench(one)
    assert done.returncode == 2
    assert "can decode none of the 40 payloads" in done.stderr
    one.publish(*[b"die"] * 40)
    done = bench(one, MODEL="tests.e2e.fragile:StillbornModel")
    assert done.returncode == 2
    assert "a process died while it measured" in done.stderr
