import logging

import pymongo
import pytest
from pydantic import SecretStr
from pymongo.errors import BulkWriteError, ConfigurationError, PyMongoError, ServerSelectionTimeoutError

from velox.errors import SettingsError, SinkUnavailableError
from velox.settings import Settings
from velox.sinks.documents import Document
from velox.sinks.mongo import MongoSink

URI = "mongodb://root:s3cr%40t@db.example:27017/"


class FailingSink(MongoSink):
    """Fails to connect, in the words given."""

    def __init__(self, error: PyMongoError) -> None:
        super().__init__(Settings(mongo_uri=SecretStr(URI)))
        self._error = error

    def _connect(self) -> pymongo.MongoClient[Document]:
        raise self._error


@pytest.mark.parametrize("secret", ["root:s3cr%40t", "s3cr%40t", "s3cr@t"])
def test_user_and_password_are_never_told_even_if_the_driver_tells_them(
    secret: str, caplog: pytest.LogCaptureFixture
) -> None:
    sink = FailingSink(ConfigurationError(f"bad URI near {secret}"))
    with caplog.at_level(logging.DEBUG), pytest.raises(SinkUnavailableError, match=r"bad URI near \*\*\*") as raised:
        sink.open()
    assert "s3cr" not in str(raised.value) + caplog.text


def test_an_error_is_one_line_with_the_collection_and_the_remedy() -> None:
    driver = (
        "db.example:27017: [Errno 111] Connection refused (configured timeouts: connectTimeoutMS: 500.0ms), "
        "Timeout: 0.5s, Topology Description: <TopologyDescription id: 6b01, servers: []>"
    )
    with pytest.raises(SinkUnavailableError) as raised:
        FailingSink(ServerSelectionTimeoutError(driver)).open()
    assert str(raised.value) == (
        "mongo: cannot store in lab_discovery_db.shapes_found: db.example:27017: [Errno 111] Connection refused; "
        "is it running, is MONGO_URI right?"
    )


def test_a_write_that_no_majority_confirmed_is_not_accepted() -> None:
    unconfirmed = BulkWriteError(
        {"writeErrors": [], "writeConcernErrors": [{"code": 64, "errmsg": "waiting for replication timed out"}]}
    )
    with pytest.raises(SinkUnavailableError, match=r"majority: waiting for replication timed out \(code 64\)"):
        FailingSink(unconfirmed).open()


@pytest.mark.parametrize(
    "uri", ["localhost:27017", "mongodb://user:pa/ss@host/", "mongodb://user:pa:ss@host/", "mongodb://host:pa/"]
)
def test_a_uri_that_is_none_stops_the_start_without_being_told(uri: str) -> None:
    with pytest.raises(SettingsError, match="MONGO_URI is no connection string") as raised:
        MongoSink(Settings(mongo_uri=SecretStr(uri)))
    assert uri not in str(raised.value)
    assert raised.value.__suppress_context__


@pytest.mark.parametrize("option", ["w=0", "w=1&journal=false", "retryWrites=false"])
def test_the_uri_decides_on_retries_but_never_on_acknowledgement(option: str, request: pytest.FixtureRequest) -> None:
    client = MongoSink(Settings(mongo_uri=SecretStr(f"mongodb://127.0.0.1:1/?connect=false&{option}")))._connect()
    request.addfinalizer(client.close)
    assert client.write_concern.document == {"w": "majority", "j": True}
    assert client.options.retry_writes is (option != "retryWrites=false")
