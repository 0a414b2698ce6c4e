"""Keys on the topic, payloads in a folder, real processes: whatever happens to folder and processes, none is lost."""

import hashlib
import json
import os
import re
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import PipelineFactory
from tests.e2e.pipeline import BOTH_DELIVERIES, Pipeline, wait_until
from tests.servers.proxy import TcpProxy
from tests.servers.s3 import S3Server
from tests.small_model import install
from velox.core.envelope import frame
from velox.settings import Settings
from velox.sources.shapes import ShapesSource

Objects = dict[str, bytes]


def put(folder: Path, objects: Objects) -> None:
    for key, payload in objects.items():
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(payload)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """The folder that is the bucket."""
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder


@pytest.fixture
def keys(pipeline: PipelineFactory, photos: Path) -> PipelineFactory:
    """Makes pipelines whose records are keys of objects in that folder."""

    def make(*, partitions: int = 6, **settings: object) -> Pipeline:
        return pipeline(partitions=partitions, CODEC="key", BUCKET_URL=photos.as_uri(), OBJECT_RETRY_S=0, **settings)

    return make


def test_images_in_a_folder_are_stored_as_what_they_show_and_a_missing_one_is_a_dead_letter(
    keys: PipelineFactory, photos: Path, small_model: Path, tmp_path: Path
) -> None:
    install(small_model, tmp_path)
    items = [item for item, _ in zip(ShapesSource(Settings(), ""), range(12), strict=False)]
    images = {f"{number % 3}/{number}.jpg": item.payload for number, item in enumerate(items)}
    shown = Counter(f"{item.metadata['color_label']}_{item.metadata['shape_label']}" for item in items)
    put(photos, images)
    (photos / "empty.jpg").write_bytes(b"")
    (photos / "text.jpg").write_bytes(b"no image")
    one = keys(MODEL="velox.models.image_classifier:ImageClassifier", MODEL_ARCH="tiny_cnn")
    exact = {
        "key": "0/0.jpg",
        "size": len(images["0/0.jpg"]),
        "sha256": hashlib.sha256(images["0/0.jpg"]).hexdigest(),
    }
    first, *others = images
    assert first == exact["key"]
    one.publish(json.dumps(exact).encode(), *(key.encode() for key in others[:-1]))
    wrong = {
        b"missing.jpg": "object_missing",
        b"../elsewhere.jpg": "forbidden_pointer",
        b"empty.jpg": "empty",
        b"text.jpg": "not_an_image",
        b'{"key": "0/3.jpg", "size": 1}': "checksum_mismatch",
        b'{"name": "0/3.jpg"}': "bad_metadata",
    }
    one.publish(*wrong)
    created, removed = (
        json.dumps({"Records": [{"eventName": name, "s3": {"bucket": {"name": "photos"}, "object": {"key": key}}}]})
        for name, key in (("ObjectCreated:Put", others.pop()), ("ObjectRemoved:Delete", first))
    )
    one.publish(created.encode(), removed.encode())
    consumer = one.consume()
    one.wait_for_documents(12)
    wait_until(lambda: one.uncommitted() == 0, what=lambda: f"all committed:\n{consumer.output}")
    assert Counter(document["predicted_label"] for document in one.documents()) == shown
    assert {letter.value(): why["velox-dlq-reason"] for letter, why in one.dead_letters()} == wrong
    assert set(one.images().values()) <= set(images.values()), "what is kept of a detection is the object itself"
    assert len(one.images()) == shown["red_circle"]
    assert consumer.metric("velox_dropped_records_total", cause="no_object") == 1
    assert consumer.metric("velox_object_bytes_total") >= sum(map(len, images.values()))
    assert consumer.metric("velox_stage_seconds_count", stage="download") >= 12
    assert consumer.metric("velox_object_errors_total", reason="object_missing") >= 1, "more if it is read again"
    assert consumer.stop() == 0
    assert "Bucket photos open, 16 downloads at a time" in consumer.output


@BOTH_DELIVERIES
def test_a_folder_that_goes_away_pauses_the_consumer_and_its_return_resumes_it(
    keys: PipelineFactory, photos: Path, delivery: str
) -> None:
    put(photos, {f"{when}{number}": b"good" for when in ("before", "during") for number in range(300)})
    one = keys(DELIVERY=delivery)
    consumer = one.consume()
    consumer.wait_until_ready()
    one.publish(*(b"before%d" % number for number in range(300)))
    one.wait_for_documents(300)

    photos.rename(photos.with_name("unmounted"))
    one.publish(*(b"during%d" % number for number in range(300)))
    wait_until(lambda: consumer.not_ready_because() == "blocked by bucket photos", what="not ready for the bucket")
    consumer.wait_until_it_says("Paused: blocked by bucket photos")
    assert consumer.probe("/livez")[0] == 200
    assert consumer.metric("velox_bucket_up") == 0
    assert consumer.metric("velox_in_flight_records") <= 200
    before = consumer.metric("velox_device_idle_seconds_total", cause="download")
    wait_until(
        lambda: consumer.metric("velox_device_idle_seconds_total", cause="download") > before + 1,
        what="devices are idle for downloads",
    )
    assert one.count() == 300

    photos.with_name("unmounted").rename(photos)
    wait_until(lambda: one.count() >= 600, what=lambda: f"600, there are {one.count()}:\n{consumer.output}")
    wait_until(lambda: one.uncommitted() == 0, what="all committed")
    assert consumer.probe("/readyz")[0] == 200
    assert not one.dead_letters()
    assert consumer.stop() == 0


def test_an_s3_that_goes_away_pauses_the_consumer_and_its_return_resumes_it(
    pipeline: PipelineFactory, s3: S3Server
) -> None:
    photos = s3.make_bucket(f"photos-{uuid.uuid4().hex[:8]}")
    put(photos, {f"{when}/{number}": b"good" for when in ("before", "during") for number in range(300)})
    with TcpProxy(s3.port) as proxy:
        told: dict[str, Any] = {**s3.environment(photos.name, port=proxy.port)}
        one = pipeline(CODEC="key", OBJECT_RETRY_S=0, **told)
        consumer = one.consume(OBJECT_TIMEOUT_S=1)
        consumer.wait_until_ready()
        one.publish(*(b"before/%d" % number for number in range(300)), b"before/nothing")
        one.wait_for_documents(300)

        proxy.block()
        one.publish(*(b"during/%d" % number for number in range(300)))
        wait_until(lambda: consumer.not_ready_because() == f"blocked by bucket {photos.name}", what="not ready")
        assert consumer.probe("/livez")[0] == 200
        assert one.count() == 300
        proxy.unblock()
        wait_until(lambda: one.count() >= 600, what=lambda: f"600, there are {one.count()}:\n{consumer.output}")
        wait_until(lambda: one.uncommitted() == 0, what="all committed")
        assert one.reasons() == {"object_missing": 1}
        assert consumer.stop() == 0
        assert s3.environment("x")["AWS_SECRET_ACCESS_KEY"] not in consumer.output


def test_a_slow_object_holds_up_no_other_and_only_its_partitions_commit(keys: PipelineFactory, photos: Path) -> None:
    """A pipe in the folder: whoever opens it waits until somebody writes."""
    put(photos, {f"{number}": b"good" for number in range(300)})
    os.mkfifo(photos / "slow")
    one = keys(partitions=1)
    one.publish(b"slow", *(b"%d" % number for number in range(300)))
    consumer = one.consume(DOWNLOADS=2, QUEUE_SIZE=400)
    one.wait_for_documents(300)
    assert consumer.probe("/readyz")[0] == 200
    assert one.uncommitted() == 301, "nothing behind it is lost if the consumer is killed now"
    (photos / "slow").write_bytes(b"")
    wait_until(lambda: one.uncommitted() == 0, what="all committed")
    assert one.reasons() == {"empty": 1}, "a pipe has no size"
    assert consumer.stop() == 0


def test_reads_that_hang_are_an_outage_and_do_not_keep_a_consumer_from_ending(
    keys: PipelineFactory, photos: Path
) -> None:
    put(photos, {"good": b"good"})
    os.mkfifo(photos / "hangs")
    one = keys(partitions=1)
    one.publish(b"good", b"hangs")
    consumer = one.consume(DOWNLOADS=1, OBJECT_TIMEOUT_S=0.5, DRAIN_S=1)
    wait_until(
        lambda: consumer.says("health on port") and consumer.not_ready_because() == "blocked by bucket photos",
        what=lambda: f"not ready for the bucket:\n{consumer.output}",
    )
    one.wait_for_documents(1)
    assert consumer.probe("/livez")[0] == 200
    consumer.wait_until_it_says("object hangs has not come within OBJECT_TIMEOUT_S=0.5")
    consumer.wait_until_it_says("bucket photos: no object has come for 0.5 s, every read hangs (DOWNLOADS=1); waiting")
    assert consumer.metric("velox_bucket_up") == 0
    assert consumer.stop() == 1
    assert one.uncommitted() == 1, "what had been stored is committed"
    ended = re.search(r"in (\d+\.\d) s: .* 1 in flight left to be read again", consumer.output)
    assert ended, consumer.output
    assert float(ended[1]) < 1 + 10, "as long as operations.md says that DRAIN_S and a connection that hangs take"


def test_a_folder_that_is_missing_at_the_start_is_waited_for_and_stopping_meanwhile_takes_no_time(
    keys: PipelineFactory, photos: Path
) -> None:
    photos.rmdir()
    one = keys()
    one.publish(b"a", b"b")
    consumer = one.consume()
    consumer.wait_until_it_says("bucket photos: ")
    consumer.wait_until_it_says("Inference Started")
    assert consumer.not_ready_because() == "blocked by bucket photos"
    assert consumer.stop() == 0
    put(photos, {"a": b"good", "b": b"good"})
    one.consume()
    one.wait_for_documents(2)


@BOTH_DELIVERIES
def test_neither_a_killed_consumer_nor_a_killed_inference_process_loses_a_key(
    keys: PipelineFactory, photos: Path, delivery: str
) -> None:
    objects = {f"{number}.txt": b"slow %d" % number for number in range(200)} | {"deadly.txt": b"die"}
    put(photos, objects)
    one = keys(DELIVERY=delivery)
    one.publish(*(key.encode() for key in objects))
    first = one.consume()
    one.wait_for_documents(20)
    first.inference_processes()[0].kill()
    first.wait_until_it_says("replacing it")
    one.wait_for_documents(60)
    first.end()

    second = one.consume()
    one.wait_for_documents(200)
    wait_until(lambda: one.uncommitted() == 0, what=lambda: f"all committed:\n{second.output}")
    assert Counter(document["predicted_label"] for document in one.documents()) == Counter(
        payload.decode() for payload in objects.values() if payload != b"die"
    )
    assert {(letter.value(), why["velox-dlq-reason"]) for letter, why in one.dead_letters()} == {
        (b"deadly.txt", "killed_inference")
    }
    if delivery == "exactly_once":
        results = [json.loads(message.value() or b"")["predicted_label"] for message in one.visible()]
        assert Counter(results) == Counter(f"slow {number}" for number in range(200))
    assert second.stop() == 0


def test_framed_records_may_bring_their_payload_or_say_where_it_is(pipeline: PipelineFactory, photos: Path) -> None:
    put(photos, {"claims/1": b"from the bucket"})
    values = (
        frame({}, b"in the record"),
        frame({"claim": {"key": "claims/1"}}, b""),
        frame({"claim": {"key": "claims/2"}}, b""),
    )
    one = pipeline(CODEC="framed", OBJECT_RETRY_S=0)
    one.publish(*values)
    first = one.consume()
    one.wait_for_documents(1)
    wait_until(lambda: one.uncommitted() == 0, what="all committed")
    assert one.reasons() == {"forbidden_pointer": 2}
    assert first.stop() == 0

    two = pipeline(CODEC="framed", OBJECT_RETRY_S=0, BUCKET_URL=photos.as_uri())
    two.publish(*values)
    second = two.consume()
    two.wait_for_documents(3)
    wait_until(lambda: two.uncommitted() == 0, what="all committed")
    labels = Counter(document["predicted_label"] for document in two.documents())
    assert labels == {"in the record": 2, "from the bucket": 1}, "the first is there from both pipelines"
    assert two.reasons() == {"object_missing": 1}
    assert second.stop() == 0


def test_keys_without_a_bucket_do_not_start(pipeline: PipelineFactory) -> None:
    consumer = pipeline(CODEC="key").consume()
    assert consumer.process.wait(60) == 2
    assert "CODEC=key: where are the objects? Set BUCKET_URL" in consumer.output
