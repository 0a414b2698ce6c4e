"""Payloads that are too large for the topic, from the producer through a bucket to results."""

import uuid
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.e2e.conftest import PipelineFactory
from tests.e2e.pipeline import Pipeline, wait_until
from tests.servers.proxy import TcpProxy
from tests.servers.s3 import S3Server
from velox.core.envelope import unframe

TEXTS = [f"{number}" if number % 2 else f"a longer text, number {number}" for number in range(40)]
LONG = {text for text in TEXTS if len(text) > 10}
FRAMED: dict[str, Any] = {"CODEC": "framed", "CLAIM_OVER_BYTES": 10, "OBJECT_RETRY_S": 0}


def lines(folder: Path) -> str:
    (folder / "texts.txt").write_text("\n".join(TEXTS))
    return f"lines:{folder / 'texts.txt'}"


def check_results(one: Pipeline) -> None:
    """Every text came to its consumer as it was, the long ones by way of the bucket."""
    one.wait_for_documents(len(TEXTS))
    wait_until(lambda: one.uncommitted() == 0, what="all committed")
    assert Counter(document["predicted_label"] for document in one.documents()) == Counter(TEXTS)
    payloads = Counter(unframe(message.value() or b"")[1].decode() for message in one.records())
    assert payloads == Counter(text if text not in LONG else "" for text in TEXTS)
    assert not one.dead_letters()


def test_long_texts_go_through_a_folder_and_a_folder_that_is_not_there_yet_is_waited_for(
    pipeline: PipelineFactory, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    one = pipeline(BUCKET_URL=photos.as_uri(), **FRAMED)
    producer = one.produce("--source", lines(tmp_path), "--rate", "0")
    producer.wait_until_it_says("cannot be read: No such file or directory; producing waits until it takes payloads")
    photos.mkdir()
    assert producer.process.wait(60) == 0, producer.output
    assert producer.says("bucket photos is back")
    assert producer.says("Delivered 40 of 40 records (0 failed)")
    stored = {path.relative_to(photos).as_posix(): path.read_text() for path in photos.rglob("*") if path.is_file()}
    digests = {sha256(text.encode()).hexdigest(): text for text in LONG}
    assert stored == {f"claims/{digest[:2]}/{digest}": text for digest, text in digests.items()}
    consumer = one.consume()
    check_results(one)
    assert consumer.stop() == 0


def test_long_texts_go_through_s3_and_an_outage_in_between_costs_none(
    pipeline: PipelineFactory, s3: S3Server, tmp_path: Path
) -> None:
    name = f"photos-{uuid.uuid4().hex[:8]}"
    photos = s3.make_bucket(name)
    with TcpProxy(s3.port) as proxy:
        told: dict[str, Any] = {**s3.environment(name, port=proxy.port), **FRAMED}
        told["BUCKET_URL"] = f"s3://{name}/parts"
        one = pipeline(**told, OBJECT_TIMEOUT_S=1)
        consumer = one.consume()
        producer = one.produce("--source", lines(tmp_path), "--rate", "10")
        wait_until(lambda: any((photos / "parts").rglob("claims/*/*")), what="a text in the bucket")
        proxy.block()
        producer.wait_until_it_says("producing waits until it takes payloads")
        proxy.unblock()
        assert producer.process.wait(60) == 0, producer.output
        check_results(one)
        assert consumer.stop() == 0
        assert told["AWS_SECRET_ACCESS_KEY"] not in producer.output + consumer.output
