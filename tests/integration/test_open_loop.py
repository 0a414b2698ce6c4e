"""The load generator on a real broker, and the sink that notes when a record was stored on a real server."""

import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr
from pymongo import MongoClient

from benchmarks import stamps
from benchmarks.generator import NUMBERED
from tests.e2e.pipeline import read_all
from tests.results import make_result
from tests.servers.kafka import KafkaServer, TopicFactory
from tests.servers.mongo import MongoServer
from velox.core.envelope import Codec
from velox.kafka.parsing import parse
from velox.settings import MIB, Settings

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("source", [NUMBERED, "shapes"])
def test_the_generator_sends_each_record_when_it_is_due(
    kafka: KafkaServer, topic: TopicFactory, tmp_path: Path, source: str
) -> None:
    name = topic()
    result = tmp_path / "times.npz"
    options = ["--rate", "100", "--for", "0.5", "--steady", "--source", source, "--result", str(result)]
    addresses = {"KAFKA_BOOTSTRAP_SERVER": kafka.bootstrap, "KAFKA_TOPIC": name}
    command = [sys.executable, "-m", "benchmarks.generator", *options]
    subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT), **addresses}, check=True)
    with np.load(result) as times:
        due, sent = times["due"], times["sent"]
    assert np.diff(due) == pytest.approx(0.01)
    assert (sent >= due).all()
    parsed = [parse(one, codec=Codec.FRAMED, max_bytes=MIB) for one in read_all(kafka.bootstrap, name)]
    assert [error for _, error in parsed if error] == []
    assert sorted(stamps.number(record.id) for record, _ in parsed) == list(range(50))
    assert all(record.payload.startswith(b"\xff\xd8") for record, _ in parsed)


def test_a_record_is_noted_when_its_write_has_returned(mongo: MongoServer, database: str, tmp_path: Path) -> None:
    settings = Settings(
        mongo_uri=SecretStr(mongo.uri), db_name=database, storage_path=tmp_path / "new", sink_timeout_s=2.0
    )
    sink = stamps.StampedMongoSink(settings)
    sink.open()
    moments = [time.monotonic()]
    for numbers in ([0, 2], [1], [2]):
        sink.write([make_result(record_id=f"load-{number}") for number in numbers])
        moments.append(time.monotonic())
    sink.close()
    client: MongoClient[dict[str, Any]]
    with MongoClient(mongo.uri) as client:
        assert client[database]["shapes_found"].count_documents({}) == 3
    assert stamps.count(settings.storage_path) == 4
    stored = stamps.read(settings.storage_path, 3)
    writes = list(pairwise(moments))
    for number, (before, after) in zip((0, 2, 1), (writes[0], writes[0], writes[1]), strict=True):
        assert before < stored[number] < after
