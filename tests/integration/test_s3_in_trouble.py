"""Answers of an S3 in trouble: busy, slow, cut off, sending on; what comes of an object, and what of its record."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import pipelines
from tests.e2e.pipeline import wait_until
from tests.servers import faulty_http
from tests.servers.faulty_http import FaultyHttp
from tests.servers.kafka import KafkaServer
from tests.servers.mongo import MongoServer
from tests.servers.s3 import S3Server
from velox.buckets import bucket
from velox.buckets.bucket import Bucket
from velox.errors import BucketUnavailableError
from velox.records import Pointer
from velox.settings import Settings

PAYLOAD = b"payload" * 20_000


@pytest.fixture
def link(s3: S3Server) -> Iterator[FaultyHttp]:
    with FaultyHttp(s3.port) as made:
        yield made


@pytest.fixture
def name(s3: S3Server) -> str:
    """A bucket with an object."""
    made = f"bucket-{uuid.uuid4().hex[:8]}"
    (s3.make_bucket(made) / "a").write_bytes(PAYLOAD)
    return made


@pytest.fixture
def store(s3: S3Server, link: FaultyHttp, name: str) -> Bucket:
    told = {"codec": "key", "object_timeout_s": 1, **s3.settings(name, port=link.port)}
    made = bucket(Settings.model_validate(told))
    assert made is not None
    made.open()
    assert read(made) == PAYLOAD
    return made


def read(store: Bucket) -> bytes:
    return store.get(Pointer(key="a"), most_bytes=2**20)


def test_who_asks_to_slow_down_is_an_outage(store: Bucket, link: FaultyHttp) -> None:
    link.fault = faulty_http.busy
    with pytest.raises(BucketUnavailableError, match="SlowDown: Please reduce your request rate"):
        read(store)
    with pytest.raises(BucketUnavailableError, match="SlowDown"):
        store.open()
    link.fault = faulty_http.well
    assert read(store) == PAYLOAD


def test_an_answer_that_takes_too_long_is_an_outage(store: Bucket, link: FaultyHttp) -> None:
    link.fault = faulty_http.slow(2.5, "/a")
    with pytest.raises(BucketUnavailableError):
        read(store)
    link.fault = faulty_http.well
    assert read(store) == PAYLOAD


def test_half_an_object_is_none(store: Bucket, link: FaultyHttp) -> None:
    link.fault = faulty_http.cut
    with pytest.raises(BucketUnavailableError):
        read(store)
    link.fault = faulty_http.well
    assert read(store) == PAYLOAD


def test_another_server_that_it_sends_us_on_to_gets_no_credentials(
    store: Bucket, link: FaultyHttp, s3: S3Server
) -> None:
    """The library follows S3's own redirects, and cannot be told otherwise."""
    with FaultyHttp(s3.port) as other:
        link.fault = faulty_http.elsewhere(other.port)
        with pytest.raises(BucketUnavailableError):
            read(store)
        names = {name.lower() for headers in other.seen for name in headers}
        assert not {"authorization", "x-amz-security-token", "cookie"} & names


def test_a_storm_of_refusals_pauses_a_consumer_and_one_slow_object_holds_up_no_other(
    tmp_path: Path, kafka: KafkaServer, mongo: MongoServer, database: str, s3: S3Server, link: FaultyHttp
) -> None:
    photos = s3.make_bucket(f"photos-{uuid.uuid4().hex[:8]}")
    for number in range(300):
        (photos / f"{number}").write_bytes(b"good")
    (photos / "slow").write_bytes(b"good")
    with pipelines(tmp_path, kafka, mongo, database=database) as make:
        told: dict[str, object] = {**s3.environment(photos.name, port=link.port)}
        one = make(partitions=1, CODEC="key", OBJECT_RETRY_S=0, **told)
        link.fault = faulty_http.slow(8, "/slow")
        one.publish(b"slow", *(b"%d" % number for number in range(150)))
        consumer = one.consume(OBJECT_TIMEOUT_S=30, DOWNLOADS=4)
        one.wait_for_documents(150)
        assert one.uncommitted() == 151, "only the commit waits for it"
        wait_until(lambda: one.uncommitted() == 0, what="the slow one came")
        link.fault = faulty_http.busy
        one.publish(*(b"%d" % number for number in range(150, 300)))
        wait_until(lambda: consumer.not_ready_because() == f"blocked by bucket {photos.name}", what="not ready")
        consumer.wait_until_it_says("SlowDown: Please reduce your request rate.; trying again")
        link.fault = faulty_http.well
        one.wait_for_documents(301)
        wait_until(lambda: one.uncommitted() == 0, what="all committed")
        assert not one.dead_letters()
        assert consumer.stop() == 0
