"""Webhooks through a proxy go where they would go without one, and nowhere else."""

import asyncio
from base64 import b64encode

import pytest

from tests.requests import make_request
from tests.unit.test_webhook_delivery import OK, PUBLIC, URL, Dialler, Names, Stream
from velox.core.addresses import Allowed
from velox.core.ladder import Answer, Cause
from velox.core.proxies import Proxy
from velox.webhooks.delivery import Delivery
from velox.webhooks.pinning import Pinned
from velox.webhooks.signing import Signer
from velox.webhooks.tunnel import Tunnel

PROXY = Proxy("proxy.internal", 3128)
CONNECTED = b"HTTP/1.1 200 Connection established\r\n\r\n"


def attempt(
    *parts: bytes, names: Names | None = None, proxy: Proxy = PROXY, url: str = URL, down: tuple[str, ...] = ()
) -> tuple[Answer, Dialler]:
    """Make one attempt through a proxy that answers these, and then as the receiver."""
    dialler = Dialler(lambda: Stream(parts), down=down)

    async def make() -> Answer:
        backend = Pinned(Allowed(), dial=Tunnel(proxy, dial=dialler), resolver=names or Names([PUBLIC]))
        delivery = Delivery(backend, Signer([]), timeout_s=5.0, connections=4)
        try:
            return await delivery.post(make_request(webhook_url=url))
        finally:
            await delivery.close()

    return asyncio.run(make()), dialler


def test_the_proxy_gets_the_address_that_was_checked_and_not_the_name() -> None:
    answer, dialler = attempt(CONNECTED, OK, names=Names([PUBLIC], ["127.0.0.1"]))
    assert answer == Answer(200)
    assert dialler.dialled == [("proxy.internal", 3128)]
    question, rest = dialler.streams[0].sent.split(b"\r\n\r\n", 1)
    assert question.decode().split("\r\n") == [f"CONNECT {PUBLIC}:80 HTTP/1.1", f"Host: {PUBLIC}:80"]
    assert rest.startswith(b"POST /path?x=1 HTTP/1.1\r\nHost: hooks.example.com\r\n")


def test_tls_still_proves_the_host_by_its_name() -> None:
    answer, dialler = attempt(CONNECTED, OK, url="https://hooks.example.com/")
    assert answer == Answer(200)
    assert dialler.streams[0].server_name == "hooks.example.com"
    assert dialler.streams[0].sent.startswith(f"CONNECT {PUBLIC}:443 ".encode())


@pytest.mark.parametrize(
    ("url", "addresses"),
    [(URL, ["10.0.0.1"]), (URL, [PUBLIC, "127.0.0.1"]), ("http://169.254.169.254/latest", []), (URL, ["fd00::1"])],
)
def test_what_is_refused_without_a_proxy_is_refused_with_one(url: str, addresses: list[str]) -> None:
    answer, dialler = attempt(CONNECTED, OK, url=url, names=Names(addresses))
    assert answer.cause is Cause.REFUSED
    assert dialler.dialled == []


def test_an_ipv6_address_is_written_in_brackets() -> None:
    _, dialler = attempt(CONNECTED, OK, names=Names(["2606:2800:220:1::1"]))
    assert dialler.streams[0].sent.startswith(b"CONNECT [2606:2800:220:1::1]:80 HTTP/1.1\r\n")


def test_user_and_password_are_sent_to_the_proxy_and_not_to_the_receiver() -> None:
    proxy = Proxy.parse("http://shop:p%40ss@proxy.internal:3128")
    assert proxy is not None
    _, dialler = attempt(CONNECTED, OK, proxy=proxy)
    question, rest = dialler.streams[0].sent.split(b"\r\n\r\n", 1)
    assert f"Proxy-Authorization: Basic {b64encode(b'shop:p@ss').decode()}".encode() in question
    assert b"Proxy-Authorization" not in rest


@pytest.mark.parametrize(
    ("parts", "error"),
    [
        ((b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",), "does not connect: it answered 407"),
        ((b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n",), "does not connect: it answered 302"),
        ((), "no answer that is HTTP"),
        ((b"220 smtp.example.com\r\n\r\n",), "no answer that is HTTP"),
        ((b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000,), "no answer that is HTTP"),
        ((CONNECTED + b"HTTP/1.1 200 OK\r\n\r\n",), "more than an answer"),
    ],
)
def test_a_proxy_that_does_not_connect_is_told_of_and_the_webhook_is_tried_again(
    parts: tuple[bytes, ...], error: str
) -> None:
    answer, dialler = attempt(*parts)
    assert answer.cause is Cause.UNREACHABLE
    assert error in answer.error
    assert all(stream.is_closed for stream in dialler.streams)


def test_a_proxy_that_is_not_there_is_named_as_the_cause() -> None:
    answer, _ = attempt(CONNECTED, down=("proxy.internal",))
    assert answer.cause is Cause.UNREACHABLE
    assert answer.error == "WEBHOOK_PROXY cannot be reached: refused"


def test_an_address_that_the_proxy_does_not_reach_is_followed_by_the_next() -> None:
    streams = iter([Stream([b"HTTP/1.1 502 Bad Gateway\r\n\r\n"]), Stream([CONNECTED, OK])])
    dialler = Dialler(lambda: next(streams))

    async def make() -> Answer:
        backend = Pinned(Allowed(), dial=Tunnel(PROXY, dial=dialler), resolver=Names(["2606:2800:220:1::1", PUBLIC]))
        delivery = Delivery(backend, Signer([]), timeout_s=5.0, connections=4)
        try:
            return await delivery.post(make_request(webhook_url=URL))
        finally:
            await delivery.close()

    assert asyncio.run(make()) == Answer(200)
    assert len(dialler.streams) == 2


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("", None),
        ("http://proxy:3128", Proxy("proxy", 3128)),
        ("http://10.0.0.1:8080/", Proxy("10.0.0.1", 8080)),
        ("http://[::1]:3128", Proxy("::1", 3128)),
        ("http://u@proxy:1", Proxy("proxy", 1, f"Basic {b64encode(b'u:').decode()}")),
    ],
)
def test_a_proxy_is_read_from_its_url(url: str, proxy: Proxy | None) -> None:
    assert Proxy.parse(url) == proxy


@pytest.mark.parametrize(
    "url",
    [
        "proxy",
        "proxy:3128",
        "https://proxy:3128",
        "http://proxy",
        "http://proxy:0",
        "http://secret@p:70000",
        "http://p:1/x",
    ],
)
def test_what_is_no_proxy_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ValueError, match=r"is no proxy: write http://HOST:PORT") as refused:
        Proxy.parse(url)
    assert "secret" not in str(refused.value)
