"""The way of records whose payloads are objects: put into the bucket first, then their keys are published."""

import json
import logging
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, Self

from velox.buckets import bucket
from velox.buckets.bucket import Bucket
from velox.core.pointers import SHA256_HEADER, SIZE_HEADER, check
from velox.errors import BadRecordError, BucketUnavailableError, Reason, SettingsError, VeloxError
from velox.records import Headers, Pointer
from velox.tools.verify.numbered import HTML, PAYLOADS, TRUNCATED, Poison, Records
from velox.tools.verify.premises import Premises, objects_place
from velox.tools.verify.way import Straight

log = logging.getLogger(__name__)

_OBJECTS: Final = 1024
"""So many objects are made; records name them in turn. A multiple of what labels repeat after."""
_NONE: Final = "none"


@dataclass(slots=True)
class KeyedRecords(Records):
    """Records whose values are keys, and the objects that these name."""

    place: str = ""
    """How all keys begin, without a ``/`` at the end."""

    def objects(self, count: int) -> Iterator[tuple[str, bytes]]:
        """Yield what has to be in the bucket for so many records."""
        for number in range(min(count, self._different)):
            yield self._key(number), self._good_payload(number)
        for poison in self._all_ways():
            if poison.payload is not None and poison.value is not None:
                yield poison.value.decode(), poison.payload
        yield f"{self.place}/empty", b""

    def build(self, number: int) -> tuple[bytes, Headers]:
        """Build a key and its headers; of a good one they say how its object has to be."""
        poisoned = self.poisoned
        value, headers = Records.build(self, number)
        if self.poisoned > poisoned:
            return value, headers
        payload = self._good_payload(number)
        said = [(SIZE_HEADER, b"%d" % len(payload)), (SHA256_HEADER, sha256(payload).hexdigest().encode())]
        return value, [*headers, *said]

    def twin(self, number: int) -> int:
        """Choose one number for all records with the same payload."""
        if self.source is None or self._poison_of(number):
            return Records.twin(self, number)
        return number % self._different % max(1, len(self._payloads))

    @property
    def _different(self) -> int:
        """Count the keys; a source with fewer payloads has each under several."""
        return _OBJECTS if self.source is None else PAYLOADS

    def _good(self, number: int) -> bytes:
        return self._key(number).encode()

    def _good_payload(self, number: int) -> bytes:
        return Records._good_payload(self, number % self._different)

    def _key(self, number: int) -> str:
        return f"{self.place}/{number % self._different:04d}"

    def _all_ways(self) -> tuple[Poison, ...]:
        altered = {"key": self._key(0), "sha256": "0" * 64}
        return (
            Poison(Reason.FORBIDDEN_POINTER, b"../elsewhere"),
            Poison(Reason.BAD_METADATA, b'{"name": "no key"}'),
            Poison(Reason.OBJECT_MISSING, f"{self.place}/{_NONE}".encode()),
            Poison(Reason.CHECKSUM_MISMATCH, json.dumps(altered).encode()),
            Poison(Reason.EMPTY, f"{self.place}/empty".encode()),
            Poison(Reason.NOT_AN_IMAGE, f"{self.place}/html".encode(), HTML),
            Poison(Reason.UNDECODABLE, f"{self.place}/truncated".encode(), TRUNCATED),
        )


class FromBucket(Straight):
    """Into Kafka as keys; the objects are put into the bucket before, and removed in the end."""

    def __init__(self, premises: Premises, run: str) -> None:
        """Open the source, if there is to be one.

        Raises:
            VeloxError: it cannot be opened, or consumers may not read what would be put there.
        """
        super().__init__(premises, run)
        settings, plain = premises.settings, self.records
        place = objects_place(settings, run).partition("/")[2]
        try:
            check(Pointer(key=f"{place}/x"), bucket=settings.bucket_name, allowed=settings.places_allowed)
        except BadRecordError as error:
            raise SettingsError(f"consumers may not read the objects of a run: {error.detail}") from error
        self._records = KeyedRecords(
            run, settings.codec, plain.poison, plain.source, reads_images=plain.reads_images, place=place
        )
        self.records = self._records
        self._put: list[str] = []

    def __enter__(self) -> Self:
        """Put the objects."""
        settings = self._premises.settings
        objects = dict(self._records.objects(self._premises.plan.count))
        with closing(self._bucket()) as store:
            store.open()
            self._put = list(objects)
            try:
                with ThreadPoolExecutor(settings.downloads, thread_name_prefix="objects") as threads:
                    list(threads.map(lambda key: store.put(key, objects[key]), objects))
            except VeloxError:
                self.__exit__()
                raise
        log.info("%d objects in %s/%s", len(self._put), store.name, self._records.place)
        return self

    def __exit__(self, *_: object) -> None:
        """Remove them."""
        if self._premises.plan.keep:
            return
        with closing(self._bucket()) as store:
            try:
                store.open()
                self._remove(store, self._put)
            except BucketUnavailableError as error:
                log.warning("The objects of the run stay in %s/%s: %s", store.name, self._records.place, error)

    def _bucket(self) -> Bucket:
        store = bucket(self._premises.settings)
        if store is None:
            raise SettingsError("CODEC=key: no bucket")
        return store

    def _remove(self, store: Bucket, keys: Iterable[str]) -> None:
        with ThreadPoolExecutor(self._premises.settings.downloads, thread_name_prefix="objects") as threads:
            list(threads.map(lambda key: store.delete([key]), keys))
        if folder := self._premises.settings.bucket_folder:
            with suppress(OSError):
                Path(folder, self._records.place).rmdir()
