"""What the producer puts into the bucket, and what it does while it cannot."""

import logging
from collections.abc import Iterator
from hashlib import sha256

import pytest

from tests.fakes import FakeBucket
from velox.buckets import claims as module
from velox.buckets.claims import Claims, claims
from velox.core import retries
from velox.errors import BadRecordError, Reason
from velox.settings import Settings

LARGE = b"a large payload"
DIGEST = sha256(LARGE).hexdigest()
TOLD = Settings(bucket_url="s3://photos/warehouse", claim_over_bytes=10, max_object_bytes=1024)


@pytest.fixture
def bucket() -> FakeBucket:
    return FakeBucket()


@pytest.fixture
def one(bucket: FakeBucket) -> Iterator[Claims]:
    made = Claims(TOLD, bucket)
    yield made
    made.close()


def test_a_large_payload_is_put_under_its_checksum_below_the_buckets_prefix(one: Claims, bucket: FakeBucket) -> None:
    assert [one.takes(b"x" * size) for size in (0, 10, 11)] == [False, False, True]
    pointer = one.begin(LARGE).result(60)
    assert pointer is not None
    assert bucket.objects == {f"warehouse/claims/{DIGEST[:2]}/{DIGEST}": LARGE}
    assert (pointer.key, pointer.bucket) == (*bucket.objects, "photos")
    assert (pointer.size_bytes, pointer.sha256) == (len(LARGE), DIGEST)


def test_a_payload_is_sent_once_in_a_while_and_again_later_so_that_the_bucket_does_not_think_it_old(
    one: Claims, bucket: FakeBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = one.begin(LARGE).result(60)
    assert one.begin(LARGE).result(60) == first
    assert len(bucket.written) == 1
    monkeypatch.setattr(module, "_FRESH_S", 0.0)
    again = Claims(TOLD, bucket)
    for _ in range(2):
        assert again.begin(LARGE).result(60) == first
    again.close()
    assert len(bucket.written) == 3


def test_what_is_remembered_of_payloads_is_bounded(
    one: Claims, bucket: FakeBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 2)
    for number in (1, 2, 3, 3, 1):
        one.begin(LARGE + b"%d" % number).result(60)
    assert len(bucket.written) == 4, "the first was forgotten, the third was not"


def test_a_bucket_that_is_down_is_tried_again_and_that_is_said_once(
    one: Claims, bucket: FakeBucket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bucket.problem = "connection refused"
    waits: list[float] = []

    def backoff_s() -> Iterator[float]:
        for wait_s in real():
            waits.append(wait_s)
            bucket.problem = bucket.problem if len(waits) < 12 else ""
            yield 0

    real = retries.backoff_s
    monkeypatch.setattr(module, "backoff_s", backoff_s)
    begun = [one.begin(LARGE + b"%d" % number) for number in range(3)]
    assert all(each.result(60) for each in begun)
    assert len(bucket.objects) == 3
    assert max(waits) <= 10
    assert [record.getMessage() for record in caplog.records] == [
        "bucket photos: connection refused; producing waits until it takes payloads",
        "bucket photos is back",
    ]


def test_closing_ends_the_tries(one: Claims, bucket: FakeBucket) -> None:
    bucket.problem = "gone"
    begun = one.begin(LARGE)
    one.close()
    assert begun.result(60) is None
    assert bucket.closed


def test_what_no_consumer_would_read_is_not_put(one: Claims, bucket: FakeBucket) -> None:
    with pytest.raises(BadRecordError, match="1025 bytes, more than MAX_OBJECT_BYTES=1024") as caught:
        one.begin(b"x" * 1025)
    assert caught.value.reason is Reason.TOO_LARGE
    assert not bucket.objects


def test_without_a_limit_all_payloads_stay_in_their_records() -> None:
    assert claims(Settings(bucket_url="memory:///")) is None
    made = claims(Settings(bucket_url="memory:///", claim_over_bytes=1))
    assert made is not None
    made.close()
