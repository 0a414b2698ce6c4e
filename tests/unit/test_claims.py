"""What the producer puts into the bucket, and what it does while it cannot."""

import logging
from hashlib import sha256

import pytest

from tests.fakes import FakeBucket
from velox.buckets import claims as module
from velox.buckets.claims import Claims, claims
from velox.errors import BadRecordError, Reason
from velox.settings import Settings

LARGE = b"a large payload"
DIGEST = sha256(LARGE).hexdigest()
TOLD = Settings(bucket_url="s3://photos/warehouse", claim_over_bytes=10, max_object_bytes=1024)


class Waits:
    """Lets time pass so often, then it is time to stop."""

    def __init__(self, most: int = 100) -> None:
        self.left = most
        self.waited: list[float] = []

    def __call__(self, wait_s: float) -> bool:
        self.waited.append(wait_s)
        self.left -= 1
        return self.left >= 0


def test_a_large_payload_is_put_under_its_checksum_below_the_buckets_prefix() -> None:
    bucket = FakeBucket()
    one = Claims(TOLD, bucket)
    assert [one.takes(b"x" * size) for size in (0, 10, 11)] == [False, False, True]
    pointer = one.deposit(LARGE, wait=Waits())
    assert pointer is not None
    assert bucket.objects == {f"warehouse/claims/{DIGEST[:2]}/{DIGEST}": LARGE}
    assert (pointer.key, pointer.bucket) == (*bucket.objects, "photos")
    assert (pointer.size_bytes, pointer.sha256) == (len(LARGE), DIGEST)


def test_a_payload_is_sent_once_in_a_while_and_again_later_so_that_the_bucket_does_not_think_it_old(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bucket = FakeBucket()
    one = Claims(TOLD, bucket)
    first = one.deposit(LARGE, wait=Waits())
    assert one.deposit(LARGE, wait=Waits()) == first
    assert len(bucket.written) == 1
    monkeypatch.setattr(module, "_FRESH_S", 0.0)
    again = Claims(TOLD, bucket)
    again.deposit(LARGE, wait=Waits())
    again.deposit(LARGE, wait=Waits())
    assert len(bucket.written) == 3


def test_what_is_remembered_of_payloads_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 2)
    bucket = FakeBucket()
    one = Claims(TOLD, bucket)
    for number in (1, 2, 3, 3, 1):
        one.deposit(LARGE + b"%d" % number, wait=Waits())
    assert len(bucket.written) == 4, "the first was forgotten, the third was not"


def test_a_bucket_that_is_down_is_waited_for_and_that_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    bucket, waits = FakeBucket(), Waits()
    bucket.problem = "connection refused"

    def wait(wait_s: float) -> bool:
        bucket.problem = bucket.problem if len(waits.waited) < 5 else ""
        return waits(wait_s)

    assert Claims(TOLD, bucket).deposit(LARGE, wait=wait) is not None
    assert len(bucket.objects) == 1
    assert len(waits.waited) == 6
    assert max(waits.waited) <= 10
    assert [record.getMessage() for record in caplog.records] == [
        "bucket photos: connection refused; nothing is produced until it takes payloads",
        "bucket photos is back",
    ]


def test_a_stop_ends_the_wait_for_a_bucket() -> None:
    bucket = FakeBucket()
    bucket.problem = "gone"
    assert Claims(TOLD, bucket).deposit(LARGE, wait=Waits(most=2)) is None


def test_what_no_consumer_would_read_is_not_put() -> None:
    bucket = FakeBucket()
    with pytest.raises(BadRecordError, match="1025 bytes, more than MAX_OBJECT_BYTES=1024") as caught:
        Claims(TOLD, bucket).deposit(b"x" * 1025, wait=Waits())
    assert caught.value.reason is Reason.TOO_LARGE
    assert not bucket.objects


def test_without_a_limit_all_payloads_stay_in_their_records() -> None:
    assert claims(Settings(bucket_url="memory:///")) is None
    made = claims(Settings(bucket_url="memory:///", claim_over_bytes=1))
    assert made is not None
    made.close()
