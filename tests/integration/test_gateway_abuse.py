"""Clients that send nonsense, too slowly, or lies, against a gateway as a real process."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from httpx2 import Client

from tests.e2e.pipeline import PATIENCE_S, REPOSITORY, wait_until

PROGRAM = """
from velox import cli
from velox.gateway import reading
from velox.web import connections
connections._HEAD_S = reading._PATIENCE_S = 1.0
raise SystemExit(cli.main(["gateway"]))
"""
"""The gateway, with less patience than it has elsewhere."""

BODY = b'{"text": "fine"}'
POST = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
LENGTH = b"Content-Length: %d\r\n\r\n" % len(BODY)
GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """A gateway without Kafka: what is tested here comes before that."""
    folder = tmp_path_factory.mktemp("gateway")
    log = folder / "log"
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | {
        "PYTHONPATH": str(REPOSITORY),
        "KAFKA_BOOTSTRAP_SERVER": "127.0.0.1:1",
        "GATEWAY_PORT": "0",
        "GATEWAY_CONNECTIONS": "40",
        "REQUESTS_URL": f"sqlite:///{folder}/requests.db",
        "MODELS_PATH": str(REPOSITORY / "models.toml"),
    }
    with log.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-c", PROGRAM], cwd=folder, env=env, stdout=file, stderr=file)
    try:
        port = _port(log)
        yield "127.0.0.1", port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert "Traceback" not in log.read_text()


def _port(log: Path) -> int:
    def found() -> re.Match[str] | None:
        return re.search(r"gateway on http://127\.0\.0\.1:(\d+)", log.read_text())

    wait_until(lambda: found() is not None, what=log.read_text)
    match = found()
    assert match is not None
    return int(match[1])


class Slow:
    """A connection on which a client sends one byte a turn, for as long as anybody takes them."""

    def __init__(self, address: tuple[str, int], begins: bytes, trickle: bytes) -> None:
        self.socket = socket.create_connection(address, timeout=PATIENCE_S)
        self.socket.sendall(begins)
        self.socket.setblocking(False)
        self.trickle = trickle
        self.said = b""
        self.is_over = False

    def turn(self) -> bool:
        """Send a byte and read what is there; say whether the gateway has ended it."""
        try:
            self.socket.send(self.trickle)
            came = self.socket.recv(65_536)
            self.said += came
            self.is_over = self.is_over or not came
        except BlockingIOError:
            pass
        except OSError:  # reset, or a pipe without a reader
            self.is_over = True
        return self.is_over


SLOW = {
    "nothing": (b"", b""),
    "a head": (b"GET /livez?", b"a"),
    "a header": (b"GET /livez HTTP/1.1\r\nX-A: ", b"a"),
    "a second head": (GET + b"GET /livez?", b"a"),
    "a head behind a request": (GET + GET + b"GET /livez HTTP/1.1\r\nX-A: ", b"a"),
    "a body": (POST + b"Content-Length: 1000\r\n\r\n{", b" "),
    "a body in chunks": (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "a body that is not wanted": (POST + b"Content-Length: 99999999999\r\n\r\n", b" "),
    "a body that never comes": (POST + b"Content-Length: 1000\r\n\r\n", b""),
}


def test_more_connections_than_are_allowed_are_refused_and_later_ones_are_not(address: tuple[str, int]) -> None:
    idle = [socket.create_connection(address, timeout=PATIENCE_S) for _ in range(45)]
    with Client(base_url=f"http://{address[0]}:{address[1]}", timeout=PATIENCE_S) as client:
        assert client.get("/livez").status_code == 503
    for each in idle:
        each.close()

    def is_answered() -> bool:
        with Client(base_url=f"http://{address[0]}:{address[1]}", timeout=PATIENCE_S) as client:
            return client.get("/livez").status_code == 200

    wait_until(is_answered, what="there is room again")


def test_nobody_holds_a_connection_by_sending_slowly(address: tuple[str, int]) -> None:
    clients = {what: Slow(address, *said) for what, said in SLOW.items()}
    left = dict(clients)

    def all_are_over() -> bool:
        for what, client in list(left.items()):
            if client.turn():
                del left[what]
        return not left

    wait_until(all_are_over, what=lambda: f"still open: {', '.join(left)}")
    for client in clients.values():
        client.socket.close()
    statuses = {what: re.findall(rb"HTTP/1\.1 (\d+)", client.said) for what, client in clients.items()}
    assert statuses["a body"] == statuses["a body in chunks"] == statuses["a body that never comes"] == [b"408"]
    assert statuses["a body that is not wanted"] == [b"413"]
    assert statuses["a second head"] == [b"200"]
    assert statuses["a head"] == statuses["a header"] == statuses["nothing"] == []
    wait_until(lambda: active(address) == 1, what=lambda: f"{active(address)} requests are being answered")


def active(address: tuple[str, int]) -> float:
    """How many requests are being answered; the one that asks is one."""
    with Client(base_url=f"http://{address[0]}:{address[1]}", timeout=PATIENCE_S) as client:
        found = re.search(r"^velox_http_active_requests (\S+)", client.get("/metrics").text, re.MULTILINE)
    assert found is not None
    return float(found[1])


def exchange(address: tuple[str, int], sent: bytes) -> bytes:
    """Send something, and read until the gateway ends it."""
    said = b""
    with socket.create_connection(address, timeout=PATIENCE_S) as connection:
        try:
            connection.sendall(sent)
            while came := connection.recv(65_536):
                said += came
        except ConnectionError:  # it was ended with something unread
            pass
    return said


LIES = {
    "the body is longer": (POST + LENGTH + BODY + b"and more\r\n\r\n", b"400"),
    "the body is shorter": (POST + b"Content-Length: 500\r\n\r\n" + BODY, b"408"),
    "two lengths": (POST + b"Content-Length: 3\r\n" + LENGTH + BODY, b"400"),
    "a length and chunks": (POST + b"Transfer-Encoding: chunked\r\n" + LENGTH + BODY, b"400"),
    "a negative length": (POST + b"Content-Length: -5\r\n\r\n", b"400"),
    "no number": (POST + b"Content-Length: five\r\n\r\n", b"400"),
    "beyond all numbers": (POST + b"Content-Length: " + b"9" * 100 + b"\r\n\r\n", b"400"),
    "a chunk without an end": (POST + b"Transfer-Encoding: chunked\r\n\r\nffffffffff\r\n{", b"408"),
    "a chunk of no size": (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{", b"400"),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_about_the_length_is_refused_and_ends_the_connection(lie: str, address: tuple[str, int]) -> None:
    sent, status = LIES[lie]
    said = exchange(address, sent)
    assert re.findall(rb"HTTP/1\.1 (\d+)", said)[-1:] == [status], said
    assert exchange(address, GET.replace(b"Host: x", b"Host: x\r\nConnection: close")).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("head", [b"GET /livez HTTP/1.1\r\nX-A: ", b"GET /livez?", b"GET /livez HTTP/1.1\r\n"])
def test_a_head_without_an_end_is_cut_off(head: bytes, address: tuple[str, int]) -> None:
    more = b"X: y\r\n" * 10_000 if head.endswith(b"\r\n") else b"a" * 60_000
    with socket.create_connection(address, timeout=PATIENCE_S) as connection:
        connection.sendall(head)
        sent, began = 0, time.monotonic()
        with pytest.raises(ConnectionError):
            while time.monotonic() - began < PATIENCE_S:
                connection.sendall(more)
                sent += len(more)
        assert sent < 64 * 1024 * 1024
