"""A peer: confluent-kafka and torch in one loop, offsets committed after each stored batch.

``python -m benchmarks.peers.plain N`` runs the loop in N processes, which share the partitions.
"""

import multiprocessing
import sys

from confluent_kafka import Consumer, Message

from benchmarks.peers.classifier import Classifier
from benchmarks.peers.job import Place, Record, Store

_WAIT_S = 0.1


def subscribe(place: Place) -> Consumer:
    """Join the group; nothing is committed by itself."""
    consumer = Consumer(
        {
            "bootstrap.servers": place.servers,
            "group.id": place.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([place.topic])
    return consumer


def records_of(messages: list[Message]) -> list[Record]:
    """Take what was polled, without what only reports an event."""
    return [
        Record(message.partition() or 0, message.offset() or 0, message.value() or b"")
        for message in messages
        if message.error() is None
    ]


def consume() -> None:
    """Consume until killed."""
    place = Place.given()
    classifier, store, consumer = Classifier(), Store(place), subscribe(place)
    while True:
        records = records_of(consumer.consume(place.batch, timeout=_WAIT_S))
        if records:
            store.write(records, classifier.predict([record.jpeg for record in records]))
            consumer.commit(asynchronous=False)


if __name__ == "__main__":
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=consume) for _ in range(int(sys.argv[1]))]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
