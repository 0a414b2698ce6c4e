"""The C library below confluent_kafka, for what its Python side cannot do: odd bytes, and a broker that refuses."""

import ctypes
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

import confluent_kafka

_PRODUCER = 0
_COPY = 0x2
_PARTITION_ANY = -1
_END, _TOPIC, _VALUE, _FLAGS, _HEADERS = 0, 1, 4, 7, 10
INIT_PRODUCER_ID = 22
"""The request with which an idempotent producer begins (Kafka's number for it)."""
CLUSTER_AUTHORIZATION_FAILED = 31


@cache
def library() -> ctypes.CDLL:
    """The very library that confluent_kafka has loaded."""
    folder = Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs"
    (path,) = folder.glob("librdkafka-*")
    loaded = ctypes.CDLL(str(path))
    for name in ("rd_kafka_new", "rd_kafka_conf_new", "rd_kafka_headers_new", "rd_kafka_mock_cluster_new"):
        getattr(loaded, name).restype = ctypes.c_void_p
    loaded.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    return loaded


class Client:
    """A bare producer."""

    def __init__(self, **config: str) -> None:
        lib, error = library(), ctypes.create_string_buffer(512)
        conf = ctypes.c_void_p(lib.rd_kafka_conf_new())
        for name, value in {"log_level": "0", **config}.items():
            key = name.replace("_", ".") if name != "log_level" else name
            assert lib.rd_kafka_conf_set(conf, key.encode(), value.encode(), error, ctypes.c_size_t(512)) == 0, (
                error.value
            )
        self.handle = ctypes.c_void_p(lib.rd_kafka_new(_PRODUCER, conf, error, ctypes.c_size_t(512)))
        assert self.handle.value, error.value

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        library().rd_kafka_destroy(self.handle)

    def publish(self, topic: str, value: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        """Publish a record whose headers' names are any bytes, and see it delivered."""
        lib, size = library(), ctypes.c_ssize_t
        built = ctypes.c_void_p(lib.rd_kafka_headers_new(ctypes.c_size_t(len(headers))))
        for name, content in headers:
            added = lib.rd_kafka_header_add(built, name, size(len(name)), content, size(len(content)))
            assert added == 0
        integer = ctypes.c_int
        refused = lib.rd_kafka_producev(
            self.handle,
            *(integer(_TOPIC), topic.encode()),
            *(integer(_VALUE), ctypes.c_char_p(value), ctypes.c_size_t(len(value))),
            *(integer(_FLAGS), integer(_COPY)),
            *(integer(_HEADERS), built),
            integer(_END),
        )
        assert refused == 0
        assert lib.rd_kafka_flush(self.handle, 30_000) == 0


class MockBroker(Client):
    """librdkafka's mock cluster of one broker, which answers requests with what it is told to."""

    def __init__(self) -> None:
        super().__init__(bootstrap_servers="nowhere:1")
        self._cluster = ctypes.c_void_p(library().rd_kafka_mock_cluster_new(self.handle, 1))
        self.bootstrap = library().rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        library().rd_kafka_mock_cluster_destroy(self._cluster)
        super().__exit__(kind, error, trace)

    def refuse_next(self, request: int, code: int) -> None:
        """Answer the next request of this kind with an error code of Kafka's protocol."""
        push = library().rd_kafka_mock_push_request_errors
        push(self._cluster, ctypes.c_int16(request), ctypes.c_size_t(1), ctypes.c_int(code))
