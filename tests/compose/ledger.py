"""Every record that was produced, beside every result that was stored."""

import time
from collections import Counter

import pymongo
from confluent_kafka import Consumer, TopicPartition

from tests.compose.report import eventually
from velox.records import ID_HEADER

TOPIC = "image_data"
READ_S = 60.0
BROKER = "localhost:9092"
NOBODY = "velox-open"
"""The id with which the sink proves that it can write; never a document."""


def collection() -> "pymongo.collection.Collection[dict[str, object]]":
    """The README's collection, through the published port."""
    client: pymongo.MongoClient[dict[str, object]] = pymongo.MongoClient("localhost", serverSelectionTimeoutMS=3000)
    return client["lab_discovery_db"]["shapes_found"]


def produced() -> Counter[str]:
    """How often each message id is in the topic, read to its end as it is now."""
    consumer = Consumer({"bootstrap.servers": BROKER, "group.id": "compose-test-ledger", "enable.auto.commit": False})
    try:
        partitions = consumer.list_topics(TOPIC, timeout=10).topics[TOPIC].partitions
        ids: Counter[str] = Counter()
        deadline = time.monotonic() + READ_S
        for number in partitions:
            _, end = consumer.get_watermark_offsets(TopicPartition(TOPIC, number), timeout=10)
            consumer.assign([TopicPartition(TOPIC, number, 0)])
            position = 0
            while position < end:
                assert time.monotonic() < deadline, f"{TOPIC}-{number}: at {position} of {end} after {READ_S:g} s"
                for message in consumer.consume(500, timeout=0.2):
                    assert not message.error(), message.error()
                    position = (message.offset() or 0) + 1
                    ids[_text(dict(message.headers() or [])[ID_HEADER])] += 1
        return ids
    finally:
        consumer.close()


def _text(value: str | bytes | None) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def stored() -> set[str]:
    """The ids of all documents."""
    return {str(document["_id"]) for document in collection().find({}, {"_id": 1})} - {NOBODY}


def predicted_at() -> dict[str, object]:
    """When each document's record was predicted; a later time means that it was predicted again."""
    return {str(document["_id"]): document.get("predicted_at") for document in collection().find()}


def balance(*, within_s: float = 120) -> str:
    """Wait until everything produced is stored; answers the sums. The producer must have stopped.

    Raises:
        AssertionError: Something is missing, or a record is stored twice.
    """
    ids = set(produced())
    eventually("all records stored", lambda: not ids - stored(), within_s=within_s)
    strangers = stored() - ids
    places = Counter((document.get("partition"), document.get("offset")) for document in collection().find())
    doubled = [place for place, count in places.items() if count > 1]
    assert not strangers, f"{len(strangers)} documents of records nobody produced, such as {sorted(strangers)[0]}"
    assert not doubled, f"{len(doubled)} records stored twice, such as {doubled[0]}"
    return f"{len(ids)} produced, 0 missing, 0 doubled"
