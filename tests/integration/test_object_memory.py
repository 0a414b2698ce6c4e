"""What a consumer holds of objects while S3 is slow and nothing can be stored: the bound, measured."""

import os
import threading
import uuid
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

from tests.e2e.conftest import pipelines
from tests.e2e.pipeline import wait_until
from tests.servers.kafka import KafkaServer
from tests.servers.mongo import MongoServer
from tests.servers.proxy import TcpProxy
from tests.servers.s3 import S3Server
from velox.models import numbered

MIB: Final = 2**20
OBJECT_BYTES: Final = 2 * MIB
OBJECTS: Final = 150
QUEUE_BYTES: Final = 32 * MIB
DOWNLOADS: Final = 8
BEYOND_BYTES: Final = DOWNLOADS * OBJECT_BYTES
"""What may be under way when the queue is full."""
COPIES: Final = 2
"""While an object arrives, the library holds it beside the bytes that Python gets."""
SLACK_BYTES: Final = 32 * MIB
"""Connections, and pages that the allocator keeps."""


class Peak(threading.Thread):
    """Looks many times a second how much memory a process has."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process(pid)
        self._ended = threading.Event()
        self.before = self.most = self._process.memory_info().rss

    def run(self) -> None:
        while not self._ended.wait(0.01):
            self.most = max(self.most, self._process.memory_info().rss)

    def end(self) -> int:
        self._ended.set()
        self.join()
        return self.most - self.before


@pytest.fixture
def photos(s3: S3Server) -> Path:
    """Many names of the same large object, which the consumer reads anew each time."""
    folder = s3.make_bucket(f"photos-{uuid.uuid4().hex[:8]}")
    payload = numbered.payload(1)
    (folder / "0").write_bytes(payload[:-10] + os.urandom(OBJECT_BYTES - len(payload)) + payload[-10:])
    for number in range(1, OBJECTS):
        (folder / f"{number}").hardlink_to(folder / "0")
    return folder


def test_memory_stays_within_queue_bytes_and_what_is_being_downloaded(
    s3: S3Server, photos: Path, kafka: KafkaServer, mongo: MongoServer, database: str, tmp_path: Path
) -> None:
    told: dict[str, Any] = {
        "CODEC": "key",
        "MODEL": "velox.models.numbered:NumberedModel",
        "MAX_MESSAGE_BYTES": MIB,
        "QUEUE_BYTES": QUEUE_BYTES,
        "DOWNLOADS": DOWNLOADS,
        "MAX_OBJECT_BYTES": OBJECT_BYTES,
        "SINKS": "mongo",
        "SINK_TIMEOUT_S": 2,
    }
    with (
        TcpProxy(s3.port) as far,
        TcpProxy(mongo.port) as store,
        pipelines(tmp_path, kafka, mongo, database=database) as make,
    ):
        far.delay(0.02)
        told |= s3.environment(photos.name, port=far.port)
        one = make(**told)
        consumer = one.consume(MONGO_URI=f"mongodb://127.0.0.1:{store.port}/")
        consumer.wait_until_ready()
        peak = Peak(consumer.process.pid)
        store.block()
        peak.start()
        one.publish(*(b"%d" % number for number in range(OBJECTS)))
        wait_until(
            lambda: consumer.metric("velox_in_flight_bytes") >= QUEUE_BYTES,
            what=lambda: f"the queue is full:\n{consumer.output}",
        )
        wait_until(lambda: consumer.metric("velox_objects_in_progress") == 0, what="no object is under way")
        held = consumer.metric("velox_in_flight_bytes")
        assert QUEUE_BYTES <= held <= QUEUE_BYTES + BEYOND_BYTES + MIB, (
            "counted: never more than what is under way beyond"
        )
        store.unblock()
        one.wait_for_documents(OBJECTS)
        wait_until(lambda: one.uncommitted() == 0, what="all committed")
        grown = peak.end()
        assert consumer.stop() == 0
    figures = f"grown by {grown / MIB:.0f} MiB, held {held / MIB:.0f} MiB"
    assert grown > held / 2, f"not measured: {figures}"
    assert grown <= QUEUE_BYTES + COPIES * BEYOND_BYTES + SLACK_BYTES < OBJECTS * OBJECT_BYTES / 2, figures
