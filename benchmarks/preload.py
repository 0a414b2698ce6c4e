"""Fills topics and databases before something is measured on them."""

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from confluent_kafka import KafkaError, Producer
from pymongo.collection import Collection

from benchmarks.programs import BenchmarkError
from tests.servers.kafka import KafkaServer
from velox.core.envelope import Codec
from velox.models.numbered import LABELS
from velox.records import ModelInfo, Position, Prediction, Record, Result
from velox.settings import Settings
from velox.sinks.documents import documents
from velox.sinks.sqlite import SqliteSink
from velox.sources.source import Source
from velox.tools.verify.numbered import Records

_FLUSH_S: Final = 60.0
_WAIT_S: Final = 0.1
_BULK: Final = 5000
_MODEL: Final = ModelInfo("numbered", "1", LABELS, "cpu")


def fill(kafka: KafkaServer, topic: str, *, partitions: int, count: int, source: Source | None = None) -> Records:
    """Make a topic and put ``count`` records into it, one partition after the other in turn.

    Args:
        kafka: where.
        topic: its name, and part of the records' ids.
        partitions: how many the topic gets.
        count: of the records.
        source: of the payloads; None = about 800 bytes with a number, which the model of ``velox verify`` reads.

    Raises:
        BenchmarkError: the broker did not acknowledge all of them.
    """
    kafka.create_topic(topic, partitions=partitions)
    records = Records(run=topic, codec=Codec.FRAMED, poison=0.0, source=source)
    producer = Producer(
        {
            "bootstrap.servers": kafka.bootstrap,
            "compression.type": "lz4",
            "linger.ms": 50,
            "delivery.report.only.error": True,
        }
    )
    failures: list[KafkaError | None] = []

    def failed(error: KafkaError | None, _message: Any) -> None:  # noqa: ANN401 - not looked at
        failures.append(error)

    for number in range(count):
        value, headers = records.build(number)
        while True:
            try:
                producer.produce(topic, value, headers=list(headers), partition=number % partitions, on_delivery=failed)
            except BufferError:
                producer.poll(_WAIT_S)
            else:
                break
    missing = producer.flush(_FLUSH_S) + len(failures)
    if missing:
        raise BenchmarkError(f"{topic}: {missing} of {count} records were not acknowledged")
    return records


def store_documents(collection: Collection[Any], count: int) -> None:
    """Put documents like Velox's own into a collection."""
    making = results(count)
    while bulk := list(islice(making, _BULK)):
        collection.insert_many(documents(bulk))


def store_rows(settings: Settings, count: int) -> None:
    """Put rows into the file of the sink ``sqlite``."""
    sink = SqliteSink(settings)
    sink.open()
    making = results(count)
    while bulk := list(islice(making, _BULK)):
        sink.write(bulk)
    sink.close()


def results(count: int) -> Iterator[Result]:
    """Make results of records that were predicted long ago."""
    began = time.time() - count
    for number in range(count):
        position = Position("old", number % 6, number)
        record = Record(id=str(position), position=position, produced_at=began + number)
        prediction = Prediction(LABELS[number % 2], 1.0)
        yield Result(record, prediction, _MODEL, is_detection=False, predicted_at=began + number, file_path="")
