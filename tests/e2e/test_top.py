"""velox top against real consumers."""

import json
import subprocess
import sys
from typing import Any

from tests.e2e.conftest import PipelineFactory
from tests.e2e.pipeline import ConsumerProgram, wait_until

Snapshot = dict[str, Any]


def top(*consumers: ConsumerProgram) -> Snapshot:
    """One look at them, as other programs take it."""
    addresses = [f"127.0.0.1:{consumer.port}" for consumer in consumers]
    command = [sys.executable, "-m", "velox", "top", *addresses, "--once", "--json", "--every", "1s"]
    snapshot: Snapshot = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return snapshot


def test_it_names_the_stage_that_is_slow_and_survives_a_restart(pipeline: PipelineFactory) -> None:
    one = pipeline(SINKS="tests.e2e.paced:SlowSink", QUEUE_SIZE=32)
    one.publish(*[b"good"] * 2000)
    consumer = one.consume()
    consumer.wait_until_ready()
    port = consumer.port
    wait_until(lambda: consumer.metric("velox_records_total") >= 50, what="records that flow")
    snapshot = top(consumer)
    assert snapshot["verdict"]["bottleneck"] == "sink", snapshot
    assert snapshot["records_per_s"] > 0
    assert 0 < snapshot["in_flight_records"] <= snapshot["in_flight_limit_records"] == 32
    assert snapshot["lag_records"] > 0
    watching = subprocess.Popen(
        [sys.executable, "-m", "velox", "top", f"127.0.0.1:{port}", "--json", "--every", "0.2s"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert watching.stdout
        assert json.loads(watching.stdout.readline())["consumers"] == 1
        consumer.end()
        seen = (json.loads(text) for text in watching.stdout)
        assert next(look for look in seen if look["absent"])["absent"] == {f"127.0.0.1:{port}": "does not answer"}
        one.consume(METRICS_PORT=port)
        assert next(look for look in seen if look["records_per_s"] > 0)["consumers"] == 1
    finally:
        watching.kill()
        watching.communicate()
