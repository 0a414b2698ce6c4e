"""An attempt goes to the address that was checked, says what it should, and ends whatever the receiver does."""

import asyncio
import json
import ssl
from collections.abc import Callable, Coroutine, Iterable, Sequence
from time import monotonic
from typing import Any

import httpcore2
import pytest

from tests.requests import make_request
from velox.core.addresses import Allowed
from velox.core.ladder import Answer, Cause
from velox.webhooks.delivery import MAX_ANSWER_BYTES, Delivery, write
from velox.webhooks.pinning import Pinned
from velox.webhooks.signing import Signer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PUBLIC = "93.184.216.34"
URL = "http://hooks.example.com/path?x=1"


class Stream(httpcore2.AsyncNetworkStream):
    """A connection that answers what it is told to, in these parts."""

    def __init__(self, parts: Iterable[bytes], *, hangs: bool = False) -> None:
        self.parts = iter(parts)
        self.hangs = hangs
        self.sent = b""
        self.server_name: str | None = None
        self.is_closed = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        part = next(self.parts, None)
        if part is None:
            if self.hangs:
                await asyncio.Event().wait()
            return b""
        return part

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.sent += buffer

    async def aclose(self) -> None:
        self.is_closed = True

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        self.server_name = server_hostname
        return self

    def get_extra_info(self, info: str) -> None:
        return None


class Dialler(httpcore2.AsyncNetworkBackend):
    """Connects to nothing, and remembers where to it was asked to connect."""

    def __init__(self, make: Callable[[], Stream], *, down: Sequence[str] = ()) -> None:
        self.make = make
        self.down = down
        self.dialled: list[tuple[str, int]] = []
        self.streams: list[Stream] = []

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        self.dialled.append((host, port))
        if host in self.down:
            raise httpcore2.ConnectError("refused")
        self.streams.append(self.make())
        return self.streams[-1]


class Names:
    """A resolver that answers each question with the next list of addresses, the last one for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not answer:
            raise OSError("Name or service not known")
        return answer


Run = Callable[[Coroutine[Any, Any, Answer]], Answer]


def attempt(
    dialler: Dialler,
    names: Names | None = None,
    *,
    url: str = URL,
    allowed: Allowed | None = None,
    timeout_s: float = 30.0,
    **changes: object,
) -> Answer:
    """Make one attempt."""

    async def make() -> Answer:
        backend = Pinned(allowed or Allowed(), dial=dialler, resolver=names or Names([PUBLIC]))
        delivery = Delivery(backend, Signer([bytes(24)]), timeout_s=timeout_s, connections=4)
        try:
            return await delivery.post(make_request(webhook_url=url, **changes))
        finally:
            await delivery.close()

    return asyncio.run(make())


def answering(*parts: bytes, hangs: bool = False, down: Sequence[str] = ()) -> Dialler:
    return Dialler(lambda: Stream(parts, hangs=hangs), down=down)


def test_it_posts_the_result_to_the_address_and_names_the_host() -> None:
    dialler = answering(OK)
    assert attempt(dialler) == Answer(200)
    assert dialler.dialled == [(PUBLIC, 80)]
    head, _, body = dialler.streams[0].sent.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    assert lines[0] == "POST /path?x=1 HTTP/1.1"
    assert headers["host"] == "hooks.example.com"
    assert headers["content-type"] == "application/json"
    assert headers["webhook-id"] == "r1"
    assert headers["webhook-signature"].startswith("v1,")
    assert int(headers["webhook-timestamp"]) > 1_700_000_000
    assert json.loads(body)["type"] == "request.completed"


def test_the_old_api_gets_its_four_keys() -> None:
    dialler = answering(OK)
    attempt(dialler, webhook_form="plain", model="text_processing")
    body = json.loads(dialler.streams[0].sent.partition(b"\r\n\r\n")[2])
    assert set(body) == {"request_id", "status", "result", "error"}
    assert body["result"]["predictions"][0] == {"label": "positive", "score": 0.9}


def test_tls_proves_the_host_by_its_name_at_the_address_that_was_checked() -> None:
    dialler = answering(OK)
    assert attempt(dialler, url="https://hooks.example.com:8443/") == Answer(200)
    assert dialler.dialled == [(PUBLIC, 8443)]
    assert dialler.streams[0].server_name == "hooks.example.com"
    assert b"hooks.example.com:8443\r\n" in dialler.streams[0].sent


REFUSED = [
    *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "192.0.0.192"),  # noqa: S104 - an address that is refused
    *("168.63.129.16", "198.18.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "::ffff:127.0.0.1", "::127.0.0.1"),
    *("64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "2001::1", "fd00:ec2::254", "fe80::1", "fe80::1%lo"),
    *("fec0::1", "5f00::1", "3fff::1", "ff02::1", "192.88.99.1", "100::1", "2001:db8::1"),
]


@pytest.mark.parametrize("address", REFUSED)
def test_a_name_at_an_address_inside_is_not_dialled(address: str) -> None:
    dialler = answering(OK)
    answer = attempt(dialler, Names([address]))
    assert answer.cause is Cause.REFUSED
    assert dialler.dialled == []
    assert address not in answer.error


def test_one_address_inside_among_others_is_enough() -> None:
    dialler = answering(OK)
    assert attempt(dialler, Names([PUBLIC, "10.0.0.1"])).cause is Cause.REFUSED
    assert dialler.dialled == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:6379/", "http://[::1]/", "http://2130706433/", "ftp://x.example/"])
def test_a_url_that_should_not_have_come_in_is_not_dialled_either(url: str) -> None:
    dialler, names = answering(OK), Names([PUBLIC])
    assert attempt(dialler, names, url=url).cause is Cause.REFUSED
    assert dialler.dialled == []
    assert names.asked == []


def test_a_name_that_answers_otherwise_the_second_time_gains_nothing() -> None:
    """DNS rebinding: the address that was checked is the one that is dialled, and each attempt checks anew."""
    dialler, names = answering(OK), Names([PUBLIC], ["127.0.0.1"])
    assert attempt(dialler, names) == Answer(200)
    assert names.asked == ["hooks.example.com"]
    assert dialler.dialled == [(PUBLIC, 80)]
    assert attempt(dialler, names).cause is Cause.REFUSED
    assert dialler.dialled == [(PUBLIC, 80)]


def test_a_network_that_is_allowed_is_dialled() -> None:
    dialler = answering(OK)
    assert attempt(dialler, Names(["10.1.2.3"]), allowed=Allowed.of(["10.1.0.0/16"])) == Answer(200)
    assert attempt(dialler, Names(["10.2.0.1"]), allowed=Allowed.of(["10.1.0.0/16"])).cause is Cause.REFUSED


def test_the_next_address_is_tried_when_one_does_not_take_the_connection() -> None:
    dialler = answering(OK, down=["1.1.1.1"])
    assert attempt(dialler, Names(["1.1.1.1", PUBLIC])) == Answer(200)
    assert [host for host, _port in dialler.dialled] == ["1.1.1.1", PUBLIC]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_failure_and_is_not_followed(status: int) -> None:
    dialler = answering(b"HTTP/1.1 %d X\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n" % status)
    answer = attempt(dialler)
    assert (answer.status, answer.cause) == (status, Cause.STATUS)
    assert "redirects are not followed" in answer.error
    assert len(dialler.dialled) == 1


def test_retry_after_is_heard() -> None:
    answer = attempt(answering(b"HTTP/1.1 429 X\r\nretry-after: 17\r\nContent-Length: 0\r\n\r\n"))
    assert (answer.status, answer.retry_after_s) == (429, 17.0)


@pytest.mark.parametrize(
    ("dialler", "names"),
    [
        (answering(OK, down=[PUBLIC]), Names([PUBLIC])),
        (answering(OK), Names([])),
        (answering(b"\x16\x03\x01 what"), Names([PUBLIC])),
        (answering(b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 200_000), Names([PUBLIC])),
        (answering(), Names([PUBLIC])),
        (answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"), Names([PUBLIC])),
    ],
    ids=["no connection", "no such name", "no HTTP", "endless headers", "nothing", "half an answer"],
)
def test_what_is_no_answer_is_a_failure(dialler: Dialler, names: Names) -> None:
    answer = attempt(dialler, names)
    assert answer.cause is Cause.UNREACHABLE
    assert answer.status is None
    assert answer.error


def test_an_answer_that_does_not_end_takes_no_longer_than_its_time() -> None:
    started = monotonic()
    answer = attempt(answering(b"HTTP/1.1 200 OK\r\nConte", hangs=True), timeout_s=0.05)
    assert answer.cause is Cause.TIMEOUT
    assert "0.05 s" in answer.error
    assert monotonic() - started < 10


def test_of_an_answer_of_any_length_only_the_beginning_is_read() -> None:
    read = 0

    def endless() -> Iterable[bytes]:
        nonlocal read
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"
        while True:
            read += 4096
            yield b"x" * 4096

    dialler = Dialler(lambda: Stream(endless()))
    assert attempt(dialler) == Answer(200)
    assert read <= MAX_ANSWER_BYTES + 2 * 4096
    assert dialler.streams[0].is_closed


def test_the_body_is_the_same_at_each_attempt() -> None:
    request = make_request()
    assert write(request) == write(request)
