"""What every peer does with a record, so that only what carries it differs: read it, store what was found."""

import json
import os
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pymongo import MongoClient, ReplaceOne

_LENGTH = struct.Struct(">I")
COLLECTION = "shapes_found"

Answer = tuple[str, float]
"""Label and confidence."""


class Record(NamedTuple):
    """One Kafka message: where it lies and what is in it."""

    partition: int
    offset: int
    value: bytes

    @property
    def jpeg(self) -> bytes:
        """What the model reads; before it lie the length of the JSON metadata (4 bytes) and the metadata."""
        return self.value[_LENGTH.size + self._length :]

    @property
    def metadata(self) -> dict[str, Any]:
        """What the producer says of the image."""
        found: dict[str, Any] = json.loads(self.value[_LENGTH.size : _LENGTH.size + self._length])
        return found

    @property
    def _length(self) -> int:
        length: int = _LENGTH.unpack_from(self.value)[0]
        return length


@dataclass(frozen=True, slots=True)
class Place:
    """Where records come from, where results go, and how many are predicted together; from the environment."""

    servers: str
    topic: str
    group: str
    mongo: str
    database: str
    folder: Path
    batch: int

    @classmethod
    def given(cls) -> "Place":
        """Read it; the names are those of Velox's settings."""
        env = os.environ
        return cls(
            servers=env["KAFKA_BOOTSTRAP_SERVER"],
            topic=env["KAFKA_TOPIC"],
            group=env["KAFKA_CONSUMER_GROUP"],
            mongo=env["MONGO_URI"],
            database=env["DB_NAME"],
            folder=Path(env["STORAGE_PATH"]),
            batch=int(env["BATCH_SIZE"]),
        )


class Store:
    """Documents in MongoDB, the original JPEGs on disk; a record stored again changes nothing that can be seen."""

    def __init__(self, place: Place) -> None:
        self._folder = place.folder
        self._folder.mkdir(parents=True, exist_ok=True)
        # What Velox asks of the server too: an offset is committed on the strength of this acknowledgement.
        client: MongoClient[dict[str, Any]] = MongoClient(place.mongo, w="majority", journal=True)
        self._found = client[place.database][COLLECTION]

    def write(self, records: Sequence[Record], answers: Sequence[Answer]) -> None:
        """Write the files, then all documents in one unordered bulk write."""
        if records:
            self._found.bulk_write(list(self._replacements(records, answers)), ordered=False)

    def _replacements(
        self, records: Sequence[Record], answers: Sequence[Answer]
    ) -> Iterator[ReplaceOne[dict[str, Any]]]:
        for record, (label, confidence) in zip(records, answers, strict=True):
            name = f"{record.partition}-{record.offset}"
            path = self._folder / f"hit_{name}.jpg"
            path.write_bytes(record.jpeg)
            document = {
                "timestamp": time.time(),
                "confidence": confidence,
                "predicted_label": label,
                "ground_truth": "{color_label}_{shape_label}".format_map(record.metadata),
                "file_path": str(path),
                "partition": record.partition,
                "offset": record.offset,
            }
            yield ReplaceOne({"_id": name}, document, upsert=True)
