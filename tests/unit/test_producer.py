"""The producer without Kafka."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from typing import cast

import pytest

from tests.fakes import FakeBucket
from velox import producer
from velox.buckets.claims import Claims
from velox.core.envelope import CLAIM, PARSERS, Codec, unframe
from velox.core.json_values import JsonForm
from velox.core.schedule import Schedule
from velox.errors import BadRecordError, SettingsError
from velox.kafka.publisher import Publisher
from velox.progress import Progress
from velox.records import ID_HEADER, Headers
from velox.settings import Settings
from velox.signals import StopRequest
from velox.sources import open_source
from velox.sources.source import NOTHING, Item

ITEM = Item(key=b"camera 7", metadata={"shape_label": "circle", "color_label": "red", "lens": 3}, payload=b"jpeg")


class FakePublisher:
    """Keeps what is published; its clock runs only while somebody waits in ``poll``."""

    def __init__(self) -> None:
        self.now = 0.0
        self.records: list[tuple[float, bytes, bytes | None, Headers]] = []
        self.delivered = 0
        self.failed = 0
        self.waiting = 0
        self.on_poll: Callable[[], None] = lambda: None

    def publish(self, value: bytes, *, key: bytes | None, headers: Headers, is_stopping: Callable[[], bool]) -> bool:
        self.records.append((self.now, value, key, headers))
        return not is_stopping()

    def refuse(self, _error: BadRecordError) -> None:
        self.failed += 1

    def poll(self, timeout_s: float) -> None:
        self.now += timeout_s
        self.on_poll()


class FakeLimit:
    """Is reached for a number of questions."""

    def __init__(self, times: int) -> None:
        self.times = times

    def is_reached(self) -> bool:
        self.times -= 1
        return self.times >= 0


def production(fake: FakePublisher, *, interval_s: float = 0.0, limit: FakeLimit | None = None) -> producer.Production:
    return producer.Production(
        publisher=cast("Publisher", fake),
        limit=limit,
        schedule=Schedule(interval_s, clock=lambda: fake.now),
        stop=StopRequest(),
        codec=Codec.FRAMED,
    )


def for_ever() -> Iterator[Item]:
    while True:
        yield ITEM


def test_it_ends_at_the_count() -> None:
    fake = FakePublisher()
    assert production(fake).publish_all(for_ever(), 5, Progress(5)) == 5
    assert len(fake.records) == 5


def test_it_ends_with_its_source() -> None:
    assert production(FakePublisher()).publish_all(iter([ITEM] * 3), None, Progress(None)) == 3


def test_a_count_of_zero_publishes_nothing() -> None:
    assert production(FakePublisher()).publish_all(for_ever(), 0, Progress(0)) == 0


def test_records_go_out_at_their_interval() -> None:
    fake = FakePublisher()
    production(fake, interval_s=0.25).publish_all(for_ever(), 5, Progress(5))
    assert [at for at, *_ in fake.records] == pytest.approx([0, 0.25, 0.5, 0.75, 1.0], abs=0.001)


def test_a_rate_above_a_thousand_a_second_is_kept_on_average() -> None:
    fake = FakePublisher()
    production(fake, interval_s=0.0004).publish_all(for_ever(), 2501, Progress(2501))
    assert fake.records[-1][0] == pytest.approx(1.0, abs=0.002)


def test_it_waits_while_the_group_is_too_far_behind() -> None:
    fake = FakePublisher()
    production(fake, limit=FakeLimit(times=3)).publish_all(for_ever(), 1, Progress(1))
    assert fake.records[0][0] > 0.2


def test_a_stop_ends_a_wait() -> None:
    fake = FakePublisher()
    run = production(fake, interval_s=3600)

    def stop_after_a_second() -> None:
        run.stop.count = int(fake.now >= 1)

    fake.on_poll = stop_after_a_second
    assert run.publish_all(for_ever(), None, Progress(None)) == 1
    assert fake.now < 1.5


def test_every_record_has_an_id_of_its_own_and_its_key() -> None:
    fake = FakePublisher()
    production(fake).publish_all(for_ever(), 100, Progress(100))
    headers = [dict(h) for *_, h in fake.records]
    assert len({h[ID_HEADER] for h in headers}) == 100
    assert {key for _, _, key, _ in fake.records} == {b"camera 7"}


def test_the_metadata_says_when_what_and_how() -> None:
    before = time.time()
    metadata, payload = unframe(producer.encode(ITEM, Codec.FRAMED))
    assert payload == b"jpeg"
    assert before <= metadata["timestamp"] <= time.time()
    assert {**metadata, "timestamp": 0} == {
        "timestamp": 0, "shape_label": "circle", "color_label": "red", "dtype": "jpeg", "lens": 3
    }  # fmt: skip


def test_what_is_unlabelled_is_unknown() -> None:
    metadata, _ = unframe(producer.encode(Item(None, {}, b""), Codec.FRAMED))
    assert (metadata["color_label"], metadata["shape_label"]) == ("unknown", "unknown")


def test_what_the_source_knows_better_stays() -> None:
    metadata, _ = unframe(producer.encode(Item(None, {"timestamp": 12.5, "dtype": "png"}, b""), Codec.FRAMED))
    assert (metadata["timestamp"], metadata["dtype"]) == (12.5, "png")


def test_raw_records_are_the_payload_alone() -> None:
    assert producer.encode(ITEM, Codec.RAW) == b"jpeg"


TEXT = Item(None, {"line": 3}, "schön".encode(), dtype="text")


def test_a_text_in_json_is_a_field_beside_what_is_known_of_it() -> None:
    before = time.time()
    said = json.loads(producer.encode(TEXT, Codec.JSON))
    assert before <= said.pop("timestamp") <= time.time()
    assert said == {"text": "schön", "line": 3}


def test_a_record_in_json_carries_its_id_where_the_settings_name_a_field_for_it() -> None:
    fake = FakePublisher()
    run = production(fake)
    run.codec, run.form = Codec.JSON, JsonForm(field="review", id_field="request_id")
    run.publish_all(iter([TEXT, TEXT]), 2, Progress(2))
    said = [json.loads(value) for _, value, _, _ in fake.records]
    headers = [dict(h)[ID_HEADER] for *_, h in fake.records]
    assert [one["request_id"].encode() for one in said] == headers
    assert {one["review"] for one in said} == {"schön"}


def test_a_text_that_is_framed_is_no_jpeg_and_has_no_shape() -> None:
    metadata, payload = unframe(producer.encode(TEXT, Codec.FRAMED))
    assert payload == "schön".encode()
    assert {**metadata, "timestamp": 0} == {"timestamp": 0, "dtype": "text", "line": 3}


def test_an_image_goes_into_json_as_base64_or_not_at_all() -> None:
    image = Item(None, {"shape_label": "circle", "color_label": "red"}, b"\xff\xd8")
    said = json.loads(producer.encode(image, Codec.JSON, JsonForm(field="image", payload="base64")))
    assert said["image"] == "/9g="
    assert (said["color_label"], said["shape_label"]) == ("red", "circle")
    with pytest.raises(SettingsError, match="JSON_PAYLOAD=text"):
        producer.encode(image, Codec.JSON)


def test_an_unknown_source_is_an_error_that_names_those_there_are() -> None:
    with pytest.raises(SettingsError, match="folder, lines, reviews, shapes, video"):
        open_source(Settings(), "camera:0")


@pytest.mark.parametrize("arguments", [{"count": -1}, {"rate": -0.1}, {"rate": float("inf")}, {"rate": float("nan")}])
def test_arguments_that_make_no_sense_stop_the_start(arguments: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match=f"--{next(iter(arguments))}"):
        producer.run(Settings(), **arguments)  # type: ignore[arg-type] # as the command line would


def test_images_are_not_published_as_keys() -> None:
    with pytest.raises(SettingsError, match="CODEC=key: SOURCE=shapes makes payloads"):
        producer.run(Settings(codec="key", bucket_url="memory:///"))


def test_a_key_is_the_payload_alone() -> None:
    assert producer.encode(ITEM, Codec.KEY) == ITEM.payload


def test_progress_is_a_line_every_ten_seconds(caplog: pytest.LogCaptureFixture) -> None:
    now, fake = 0.0, FakePublisher()
    with caplog.at_level(logging.INFO), Progress(None, clock=lambda: now) as progress:
        for second in range(1, 26):
            now = second
            fake.delivered += 20
            progress.show(second * 20, fake)
    assert caplog.messages == [
        "Delivered 200 records, 20.0/s (0 failed)",
        "Delivered 400 records, 20.0/s (0 failed)",
    ]


def test_a_source_is_told_how_far_it_is_when_all_is_delivered_and_it_has_nothing_for_now() -> None:
    fake, marked = FakePublisher(), list[int]()
    one = production(fake)
    one.mark = lambda: marked.append(len(fake.records))
    fake.waiting = 2
    fake.on_poll = lambda: setattr(fake, "waiting", fake.waiting - 1)
    one.publish_all(iter([ITEM, ITEM, NOTHING, ITEM, NOTHING]), None, Progress(None))
    assert (marked, fake.waiting) == ([2, 3], 0)
    assert len(fake.records) == 3, "nothing is no record"


def test_a_source_that_gives_much_is_told_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer, "_MARK_EVERY", 10)
    fake, marked = FakePublisher(), list[int]()
    one = production(fake)
    one.mark = lambda: marked.append(len(fake.records))
    one.publish_all(iter([ITEM] * 25), None, Progress(None))
    assert marked == [10, 20]


def test_a_source_is_not_told_while_something_failed_or_is_under_way() -> None:
    fake, marked = FakePublisher(), list[int]()
    one = production(fake)
    one.mark = lambda: marked.append(len(fake.records))
    fake.failed = 1
    one.publish_all(iter([ITEM, NOTHING]), None, Progress(None))
    assert marked == []


@pytest.fixture
def bucket() -> FakeBucket:
    return FakeBucket()


@pytest.fixture
def with_claims(bucket: FakeBucket) -> Iterator[Callable[[FakePublisher], producer.Production]]:
    told = Settings(bucket_url="memory:///", claim_over_bytes=10, max_object_bytes=1024, downloads=2)
    claims = Claims(told, bucket)

    def make(fake: FakePublisher) -> producer.Production:
        one = production(fake)
        one.claims = claims
        return one

    yield make
    claims.close()


Claiming = Callable[[FakePublisher], producer.Production]


def large(number: int = 0) -> Item:
    return replace(ITEM, payload=b"a large jpeg %d" % number, id=f"large {number}")


def test_a_large_payload_goes_into_the_bucket_and_its_record_says_where(
    with_claims: Claiming, bucket: FakeBucket
) -> None:
    fake = FakePublisher()
    assert with_claims(fake).publish_all(iter([ITEM, large()]), None, Progress(None)) == 2
    (_, small, *_), (_, value, key, _) = fake.records
    assert (unframe(small)[1], CLAIM in unframe(small)[0]) == (b"jpeg", False)
    taken = PARSERS[Codec.FRAMED](value)
    assert taken.pointer is not None
    assert bucket.objects == {taken.pointer.key: large().payload}
    assert (key, taken.metadata["lens"], taken.payload) == (b"camera 7", 3, b"")
    assert taken.pointer.size_bytes == 14


def test_records_keep_their_order_whichever_payload_is_in_the_bucket_first(
    with_claims: Claiming, bucket: FakeBucket
) -> None:
    items = [large(0), replace(ITEM, id="small"), *map(large, range(1, 20))]
    first = f"claims/{sha256(large(0).payload).hexdigest()[:2]}/{sha256(large(0).payload).hexdigest()}"
    bucket.slow_writes[first] = gate = threading.Event()
    fake = FakePublisher()
    fake.on_poll = lambda: gate.set() if len(bucket.written) > 0 else None
    assert with_claims(fake).publish_all(iter(items), None, Progress(None)) == 21
    assert bucket.written[0] != first
    assert [dict(headers)[ID_HEADER] for *_, headers in fake.records] == [item.id.encode() for item in items]


def test_while_the_bucket_is_down_few_items_are_taken_and_a_stop_ends_that(
    with_claims: Claiming, bucket: FakeBucket
) -> None:
    bucket.problem = "gone"
    fake, taken, marks = FakePublisher(), list[Item](), list[int]()
    one = with_claims(fake)
    one.mark = lambda: marks.append(1)

    def items() -> Iterator[Item]:
        for number in range(100):
            taken.append(large(number))
            yield taken[-1]

    def stop_after_a_minute() -> None:
        one.stop.count = int(fake.now >= 60)

    fake.on_poll = stop_after_a_minute
    assert one.publish_all(items(), None, Progress(None)) == 0
    assert not fake.records
    assert fake.now >= 60
    assert len(taken) == one.unpublished == 3, "two are under way, and one waits"
    assert not marks, "none of them is delivered"


def test_a_payload_that_no_consumer_would_read_counts_as_failed_and_costs_no_other(with_claims: Claiming) -> None:
    fake = FakePublisher()
    items = [replace(ITEM, payload=b"x" * 1025), ITEM]
    assert with_claims(fake).publish_all(iter(items), None, Progress(None)) == 2
    assert (fake.failed, len(fake.records)) == (1, 1)
