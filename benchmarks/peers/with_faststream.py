"""A peer: FastStream's batch subscriber, acknowledged after the handler has returned."""

import asyncio

from confluent_kafka import Message
from faststream import AckPolicy, FastStream
from faststream.confluent import KafkaBroker, KafkaMessage

from benchmarks.peers.classifier import Classifier
from benchmarks.peers.job import Place, Store
from benchmarks.peers.plain import records_of


def keep_bytes(message: KafkaMessage) -> list[bytes]:
    """Spare JPEGs the default decoder, which tries to read them as JSON."""
    return [raw.value() for raw in message.raw_message]


def main() -> None:
    """Consume until killed."""
    place = Place.given()
    classifier, store = Classifier(), Store(place)
    broker = KafkaBroker(place.servers)

    # A plain function runs in FastStream's thread pool, so that the event loop stays free.
    @broker.subscriber(
        place.topic,
        group_id=place.group,
        auto_offset_reset="earliest",
        batch=True,
        max_records=place.batch,
        ack_policy=AckPolicy.NACK_ON_ERROR,
        decoder=keep_bytes,
    )
    def classify(_values: list[bytes], message: KafkaMessage) -> None:
        raw: tuple[Message, ...] = message.raw_message
        records = records_of(list(raw))
        store.write(records, classifier.predict([record.jpeg for record in records]))

    asyncio.run(FastStream(broker).run())


if __name__ == "__main__":
    main()
