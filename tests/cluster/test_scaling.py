"""Replicas follow the load: more while calls wait, fewer when none do; what finds the queues full comes again."""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import groupby
from pathlib import Path

import pytest

from tests.cluster.conftest import Cluster, end, eventually, picture, start, wait_until_up
from tests.servers.kafka import KafkaServer

# Four calls in 0.4 s: one replica does ten a second.
CONFIG = """
classifier1:
  model: tests.cluster.slow:Slow
  num_cpus: 0.1
  min_replicas: 1
  max_replicas: 3
  target_drain_s: 2
  look_back_period_s: 2
  metrics_interval_s: 1
  upscale_delay_s: 2
  downscale_delay_s: 4
  max_batch_size: 4
  max_ongoing_requests: 8
  max_queued_requests: 8
  batch_wait_timeout_s: 0.01
  graceful_shutdown_timeout_s: 5
inference: {max_ongoing_requests: 64}
"""
PUSH = {f"RAY_SERVE_{who}_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1" for who in ("REPLICA", "HANDLE")}
CALLERS, LOAD_S = 24, 25.0


@pytest.fixture
def elastic(tmp_path: Path, kafka: KafkaServer) -> Iterator[Cluster]:
    made = start(tmp_path, kafka, "--consumers", "0", config=CONFIG, **PUSH)
    try:
        wait_until_up(made)
        yield made
    finally:
        end(made)


def asked(cluster: Cluster, body: bytes) -> tuple[int, str | None]:
    """The status, and when to come again."""
    connection = http.client.HTTPConnection("127.0.0.1", cluster.port, timeout=60)
    with closing(connection):
        connection.request("POST", "/inference", body)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers["Retry-After"]


@pytest.mark.timeout(400)
def test_replicas_come_with_the_load_and_go_with_it(elastic: Cluster) -> None:
    path = "frames/camera_1/a.jpg"
    elastic.put({path: picture(0)})
    body = json.dumps({"img_path": path}).encode()
    until = time.monotonic() + LOAD_S
    statuses: list[tuple[int, str | None]] = []

    def ask() -> None:
        while time.monotonic() < until:
            status, retry_after = asked(elastic, body)
            statuses.append((status, retry_after))
            time.sleep(float(retry_after or 0))

    callers = [threading.Thread(target=ask, daemon=True) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    seen: list[int] = []
    while time.monotonic() < until:
        seen.append(len(elastic.replicas("classifier1")))
        time.sleep(0.5)
    for caller in callers:
        caller.join()
    assert max(seen) >= 2, seen
    assert set(statuses) == {(200, None), (503, "1")}
    eventually(lambda: len(elastic.replicas("classifier1")) == 1, elastic, "one replica again")
    numbers = [number for number, _ in groupby(seen)]
    assert numbers == sorted(numbers), f"none goes while calls come: {numbers}"
