"""Stores results in MongoDB, one document each."""

import logging
import re
from collections.abc import Iterator, Sequence
from typing import Literal
from urllib.parse import unquote_plus

import pymongo
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, ConfigurationError, OperationFailure, PyMongoError
from pymongo.uri_parser import parse_uri

from velox.errors import SettingsError, SinkUnavailableError
from velox.records import Result
from velox.settings.sinks import MongoSettings
from velox.sinks.documents import Document, Extras, documents, stored
from velox.sinks.sink import Proof, Stored

log = logging.getLogger(__name__)

_INDEX = [("predicted_label", pymongo.ASCENDING), ("timestamp", pymongo.DESCENDING)]
_NOBODYS_ID = "velox-open"
_READ_TOGETHER = 1000
"""Documents of one answer: servers that only speak MongoDB's protocol may send more than the driver takes."""
_INDEX_EXISTS_OTHERWISE = (85, 86)
"""Server codes IndexOptionsConflict and IndexKeySpecsConflict."""
_DRIVER_DETAILS = re.compile(r" \(configured timeouts|, Timeout:|, Topology Description:")
"""Where a driver's message stops saying what happened and lists its timeouts and its view of every server."""
_SRV = "mongodb+srv://"


class MongoSink:
    """Upserts results into one collection, keyed by the prediction id.

    A document written again keeps the fields that others have added to it. Retryable writes stay as the URI says
    (on by default): pymongo uses them where the server has sessions and does without where it has none.
    """

    def __init__(self, settings: MongoSettings) -> None:
        """Check the URI's form.

        Raises:
            SettingsError: MONGO_URI is no connection string.
        """
        self.name = "mongo"
        self.takes: Literal["detections", "all"] = "all" if settings.store == "all" else "detections"
        self._extras = Extras.of(settings)
        self._uri = settings.mongo_uri.get_secret_value()
        self._names = (settings.db_name, settings.mongo_collection)
        self._timeout_s = settings.sink_timeout_s
        self._client: pymongo.MongoClient[Document] | None = None
        _check_form(self._uri)

    def open(self) -> None:
        """Connect, prove that an update goes through, and give an empty collection its index.

        A collection that already holds documents is left as it is: building an index over millions of them can take
        longer than SINK_TIMEOUT_S, and the sink would never open.
        """
        self.close()
        try:
            with pymongo.timeout(self._timeout_s):
                self._client = self._connect()
                collection = self._collection(self._client)
                collection.update_one({"_id": _NOBODYS_ID}, {"$set": {"timestamp": 0.0}})
                if collection.find_one({}, {"_id": 1}) is None:
                    _create_index(collection)
        except PyMongoError as error:
            self.close()
            raise self._unavailable(error) from error

    def write(self, batch: Sequence[Result]) -> None:
        """Upsert the batch in one unordered bulk write, acknowledged once it is in the journal of a majority."""
        if not batch:
            return
        if self._client is None:
            self.open()
        if self._client is None:
            raise SinkUnavailableError("mongo: not connected")
        updates = []
        for fields in documents(batch, self._extras):
            key = {"_id": fields.pop("_id")}
            updates.append(pymongo.UpdateOne(key, {"$set": fields}, upsert=True))
        try:
            with pymongo.timeout(self._timeout_s):
                # pymongo splits what is more than the server takes in one message.
                self._collection(self._client).bulk_write(updates, ordered=False)
        except PyMongoError as error:
            raise self._unavailable(error) from error

    def stored(self, prefix: str) -> Iterator[Stored]:
        """Yield the documents whose ``_id`` begins with ``prefix``."""
        try:
            with self._connect() as client:
                for found in self._collection(client).find(_begins_with(prefix), batch_size=_READ_TOGETHER):
                    yield stored(found)
        except PyMongoError as error:
            raise self._unavailable(error) from error

    def remove(self, prefix: str) -> None:
        """Delete the documents whose ``_id`` begins with ``prefix``; drop the collection when that is empty."""
        try:
            with self._connect() as client:
                collection = self._collection(client)
                if prefix:
                    collection.delete_many(_begins_with(prefix))
                else:
                    collection.drop()
        except PyMongoError as error:
            raise self._unavailable(error) from error

    def probe(self) -> Proof:
        """Prove that an update goes through; neither a document nor a collection comes of it."""
        try:
            with pymongo.timeout(self._timeout_s), self._connect() as client:
                collection = self._collection(client)
                collection.update_one({"_id": _NOBODYS_ID}, {"$set": {"timestamp": 0.0}})
                version = client.server_info()["version"]
                count = collection.estimated_document_count()
                keys = [index["key"] for index in collection.index_information().values()]
        except PyMongoError as error:
            raise self._unavailable(error) from error
        value = f"MongoDB {version}, {count} documents in {'.'.join(self._names)}"
        if not count or _INDEX in keys:
            return Proof(value)
        fix = f"db.{self._names[1]}.createIndex({{predicted_label: 1, timestamp: -1}})"
        return Proof(value, "no index on predicted_label and timestamp: queries by label read all documents", fix)

    def close(self) -> None:
        """Disconnect."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _connect(self) -> pymongo.MongoClient[Document]:
        timeout_ms = max(1, round(self._timeout_s * 1000))
        return pymongo.MongoClient(
            self._uri,
            appname="velox",
            # Overrides what the URI says: an offset is committed on the strength of this acknowledgement.
            w="majority",
            journal=True,
            serverSelectionTimeoutMS=timeout_ms,
            connectTimeoutMS=timeout_ms,
            socketTimeoutMS=timeout_ms,
        )

    def _collection(self, client: pymongo.MongoClient[Document]) -> Collection[Document]:
        database, collection = self._names
        return client[database][collection]

    def _unavailable(self, error: PyMongoError) -> SinkUnavailableError:
        if isinstance(error, BulkWriteError):
            text = _first_refusal(error)
        else:
            text = _DRIVER_DETAILS.split(str(error))[0] + "; is it running, is MONGO_URI right?"
        for secret in _secrets(self._uri):
            text = text.replace(secret, "***")
        return SinkUnavailableError(f"mongo: cannot store in {'.'.join(self._names)}: {text}")


def _begins_with(prefix: str) -> dict[str, dict[str, str]]:
    return {"_id": {"$gte": prefix, "$lt": prefix + "\U0010ffff"}}


def _create_index(collection: Collection[Document]) -> None:
    try:
        collection.create_index(_INDEX)
    except OperationFailure as error:
        if error.code not in _INDEX_EXISTS_OTHERWISE:
            raise


def _first_refusal(error: BulkWriteError) -> str:
    """Tell how many documents were refused, which was the first and why.

    Waiting does not help then, only a person does: our documents are ones that MongoDB takes, so what refuses them
    is a validator, a unique index or a full disk on the other side.
    """
    details = error.details or {}
    refused = details.get("writeErrors") or []
    if not refused:
        concern = (details.get("writeConcernErrors") or [{}])[0]
        return f"not acknowledged by a majority: {concern.get('errmsg')} (code {concern.get('code')})"
    first = refused[0]
    key = first.get("op", {}).get("q", {}).get("_id")
    reason = f"{first.get('errmsg')} (code {first.get('code')})"
    log.error("MongoDB refuses %d documents, the first _id=%s: %s", len(refused), key, reason)
    return f"{len(refused)} documents refused, the first _id={key}: {reason}; check its validator, indexes and disk"


def _check_form(uri: str) -> None:
    if uri.startswith(_SRV):  # its form can only be told by asking DNS, and that may fail for now
        return
    try:
        parse_uri(uri)
    except (ConfigurationError, ValueError):
        # The cause may quote the part it stumbled over, and that can be half a password.
        msg = (
            "MONGO_URI is no connection string, or has an unknown option: write mongodb://user:password@host:port/ "
            "and percent-encode special characters of user and password"
        )
        raise SettingsError(msg) from None


def _secrets(uri: str) -> list[str]:
    """List what must not appear in a message, longest first: user and password as written and decoded."""
    user_info = uri.partition("://")[2].rpartition("@")[0]
    password = user_info.partition(":")[2]
    found = {user_info, password, unquote_plus(password)} - {""}
    return sorted(found, key=len, reverse=True)
