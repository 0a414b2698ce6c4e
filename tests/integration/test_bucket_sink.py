"""Images of detections in S3: what differs from a folder."""

import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import pipelines
from tests.e2e.pipeline import wait_until
from tests.results import make_results
from tests.servers import faulty_http
from tests.servers.faulty_http import FaultyHttp
from tests.servers.kafka import KafkaServer
from tests.servers.mongo import MongoServer
from tests.servers.s3 import S3Server
from velox.errors import RefusedResultsError, SinkUnavailableError
from velox.settings import Settings
from velox.sinks.bucket import BucketSink
from velox.tools.doctor import sinks as doctor


@pytest.fixture
def name(s3: S3Server) -> str:
    made = f"hits-{uuid.uuid4().hex[:8]}"
    s3.make_bucket(made)
    return made


def settings(s3: S3Server, name: str, *, port: int | None = None) -> Settings:
    told = {**s3.settings("elsewhere", port=port), "storage_path": f"s3://{name}/images", "sink_timeout_s": 2}
    return Settings.model_validate({**told, "sinks": ("disk",)})


def test_what_is_stored_is_the_payload_and_can_be_read_back_and_removed(s3: S3Server, name: str) -> None:
    sink = BucketSink(settings(s3, name))
    results = make_results(3)
    sink.write(results)
    assert [sink.image(each.id) for each in results] == [each.record.payload for each in results]
    assert {row.id for row in sink.stored("")} == {each.id for each in results}
    (s3.buckets / name / "images/notes.txt").write_bytes(b"not ours")
    sink.remove(results[0].id)
    assert {row.id for row in sink.stored("")} == {each.id for each in results[1:]}
    sink.remove("")
    assert [path.name for path in (s3.buckets / name / "images").iterdir()] == ["notes.txt"]
    with pytest.raises(SinkUnavailableError, match="object_missing"):
        sink.image(results[0].id)
    sink.close()


def test_an_id_that_no_object_can_have_costs_only_itself(s3: S3Server, name: str) -> None:
    sink = BucketSink(settings(s3, name))
    good, bad = make_results(2)
    odd = replace(bad, record=replace(bad.record, id="a/../b"))
    with pytest.raises(RefusedResultsError) as caught:
        sink.write([odd, good])
    assert set(caught.value.refused) == {"a/../b"}
    assert [row.id for row in sink.stored("")] == [good.id]


def test_a_bucket_that_is_busy_is_an_outage_and_the_doctor_names_one_that_is_missing(s3: S3Server, name: str) -> None:
    with FaultyHttp(s3.port) as link:
        sink = BucketSink(settings(s3, name, port=link.port))
        sink.open()
        link.fault = faulty_http.busy
        with pytest.raises(SinkUnavailableError, match=f"disk: cannot store images in s3://{name}/images: .*SlowDown"):
            sink.write(make_results(20))
        link.fault = faulty_http.well
        sink.write(make_results(20))
        assert len(list(sink.stored(""))) == 20
    (well,) = doctor.find(settings(s3, name))
    assert well.value == f"s3://{name}/images can be written"
    (missing,) = doctor.find(settings(s3, "no-such-bucket"))
    assert "NoSuchBucket" in missing.value


def test_detections_of_a_running_consumer_go_there_and_documents_say_where(
    s3: S3Server, name: str, kafka: KafkaServer, mongo: MongoServer, database: str, tmp_path: Path
) -> None:
    """Their payloads come from another bucket: a copy is made, and a bucket's rule may remove the other."""
    photos = s3.make_bucket(f"photos-{uuid.uuid4().hex[:8]}")
    for number in range(6):
        (photos / f"{number}").write_bytes(b"red" if number % 2 else b"blue")
    with pipelines(tmp_path, kafka, mongo, database=database) as make:
        told: dict[str, Any] = {**s3.environment(photos.name), "CODEC": "key", "TARGET_LABELS": "red"}
        one = make(**told, STORAGE_PATH=f"s3://{name}/images", CONFIDENCE_THRESHOLD=0)
        one.publish(*(b"%d" % number for number in range(6)))
        first = one.consume()
        one.wait_for_documents(6)
        wait_until(lambda: one.uncommitted() == 0, what=lambda: f"all committed:\n{first.output}")
        paths = {document["file_path"] for document in one.documents() if document["is_detection"]}
        stored = [path for path in (s3.buckets / name).rglob("*") if path.is_file()]
        assert {f"s3://{path.relative_to(s3.buckets)}" for path in stored} == paths
        assert [path.read_bytes() for path in stored] == [b"red"] * 3
        assert first.stop() == 0

        two = make(**told, SINKS="mongo")
        two.publish(b"0")
        second = two.consume()
        one.wait_for_documents(7)
        (named,) = (document for document in one.documents() if document["topic"] == two.topic)
        assert named["file_path"] == f"s3://{photos.name}/0"
        assert second.stop() == 0
