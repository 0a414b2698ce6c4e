"""Webhooks over real connections, from a real store, to a receiver that behaves badly."""

import asyncio
import json
import ssl
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import monotonic, time

import httpcore2
import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.requests import answered
from tests.servers.certificates import Authority
from tests.servers.connect_proxy import ConnectProxy
from tests.servers.process import PATIENCE
from tests.servers.receiver import Receiver, Reply
from velox.core.addresses import Allowed
from velox.core.deadline import Deadline
from velox.core.destinations import FAILURES
from velox.core.proxies import Proxy
from velox.core.signing_keys import make_signing_key
from velox.core.states import WebhookState
from velox.metrics.webhooks import WebhookMetrics
from velox.requests import Request, Tried
from velox.requests.store import RequestStore
from velox.webhooks.claims import Claims, Terms
from velox.webhooks.delivery import Delivery
from velox.webhooks.pinning import Pinned
from velox.webhooks.signing import Signer
from velox.webhooks.tunnel import Tunnel

PATIENCE_S = 60 * PATIENCE
KEY = bytes(range(32))
LOOPBACK = ("127.0.0.0/8", "::1")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


class House:
    """A store, and a worker that delivers from it while ``deliver`` runs."""

    def __init__(self, store: RequestStore) -> None:
        self.store = store
        self.metrics = WebhookMetrics()
        self.ladder_s: Sequence[float] = (0, 0.05, 0.05)
        self.timeout_s = 10.0
        self.allow: Sequence[str] = LOOPBACK
        self.tls: ssl.SSLContext | None = None
        self.proxy = ""

    def request(self, identity: str) -> Request:
        return self.store.look([identity])[identity]

    def log(self, identity: str) -> list[Tried]:
        return self.store.deliveries(identity)

    def deliver(self, is_over: Callable[[], bool]) -> None:
        """Deliver until that is so."""
        asyncio.run(self._deliver(is_over))

    def deliver_all(self, *ids: str) -> None:
        """Deliver until none of them is due any more."""
        self.deliver(lambda: all(self.request(each).webhook_state is not WebhookState.DUE for each in ids))

    async def _deliver(self, is_over: Callable[[], bool]) -> None:
        proxy = Proxy.parse(self.proxy)
        pinned = Pinned(Allowed.of(self.allow), dial=Tunnel(proxy) if proxy else None)
        delivery = Delivery(pinned, Signer([KEY]), timeout_s=self.timeout_s, connections=16, tls=self.tls)
        terms = Terms(ladder_s=self.ladder_s, concurrency=16, lease_s=60)
        claims, stop = Claims(self.store, delivery.deliver, terms, self.metrics), asyncio.Event()
        running = asyncio.create_task(claims.run(stop))
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not await asyncio.to_thread(is_over):
                    await asyncio.sleep(0.02)
        finally:
            stop.set()
            await running
            await claims.drain(Deadline(10))
            await delivery.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    store = RequestStore(f"sqlite:///{tmp_path}/requests.db")
    store.open()
    yield House(store)
    store.close()


def test_a_result_is_delivered_once_signed_and_logged(house: House, receiver: Receiver) -> None:
    answered(house.store, ("r1", receiver.url("/hook?x=1")))
    house.deliver_all("r1")
    (got,) = receiver.got
    assert got.path == "/hook?x=1"
    assert got.headers["host"] == f"127.0.0.1:{receiver.port}"
    event = Webhook(KEY).verify(got.body, dict(got.headers))
    assert (event["type"], event["data"]["id"], event["data"]["label"]) == ("request.completed", "r1", "red_circle")
    (tried,) = house.log("r1")
    assert (tried.attempt, tried.state, tried.status, tried.error) == (1, WebhookState.DELIVERED, 204, "")


def test_a_destination_with_a_secret_of_its_own_is_signed_with_that_and_others_are_not(house: House) -> None:
    first, second = make_signing_key(), make_signing_key()
    with Receiver() as own, Receiver() as other:
        for secret in (first, second):
            house.store.secrets.replace("-", own.url(""), secret, at=time(), keep_s=60)
        answered(house.store, ("r1", own.url("/hook")), ("r2", other.url("/hook")))
        house.deliver_all("r1", "r2")
    for secret in (first, second):
        Webhook(secret).verify(own.got[0].body, dict(own.got[0].headers))
    Webhook(KEY).verify(other.got[0].body, dict(other.got[0].headers))
    with pytest.raises(WebhookVerificationError):
        Webhook(KEY).verify(own.got[0].body, dict(own.got[0].headers))


@pytest.mark.parametrize("is_tls", [False, True])
def test_through_a_proxy_a_webhook_is_the_same(house: House, tmp_path: Path, is_tls: bool) -> None:
    server = None
    if is_tls:
        authority = Authority.create(tmp_path)
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(*authority.sign(tmp_path, "receiver", host="localhost"))
        house.tls = ssl.create_default_context(cafile=str(authority.certificate))
    with Receiver(server) as receiver, ConnectProxy() as proxy:
        house.proxy = proxy.url
        answered(house.store, ("r1", receiver.url("/hook", host="localhost")))
        house.deliver_all("r1")
    (got,) = receiver.got
    assert Webhook(KEY).verify(got.body, dict(got.headers))["data"]["id"] == "r1"
    assert got.headers["host"] == f"localhost:{receiver.port}"
    assert {head.split()[1] for head in proxy.asked} <= {f"127.0.0.1:{receiver.port}", f"[::1]:{receiver.port}"}


def test_the_old_api_is_told_in_its_own_words(house: House, receiver: Receiver) -> None:
    answered(house.store, ("r1", receiver.url("/hook")), form="plain")
    house.deliver_all("r1")
    body = json.loads(receiver.got[0].body)
    assert set(body) == {"request_id", "status", "result", "error"}
    assert (body["request_id"], body["status"], body["error"]) == ("r1", "completed", None)


def test_a_redirect_is_not_followed(house: House, receiver: Receiver) -> None:
    receiver.replies["/moved"] = [Reply(301, {"Location": receiver.url("/new")})]
    answered(house.store, ("r1", receiver.url("/moved")))
    house.deliver_all("r1")
    assert {each.path for each in receiver.got} == {"/moved"}
    assert house.request("r1").webhook_state is WebhookState.EXHAUSTED
    assert [each.status for each in house.log("r1")] == [301, 301, 301]
    assert "not followed" in house.log("r1")[0].error


def test_410_ends_the_delivery(house: House, receiver: Receiver) -> None:
    receiver.replies["/gone"] = [Reply(410)]
    answered(house.store, ("r1", receiver.url("/gone")))
    house.deliver_all("r1")
    assert len(receiver.got) == 1
    assert house.request("r1").webhook_state is WebhookState.GONE


def test_who_asks_to_wait_is_waited_for(house: House, receiver: Receiver) -> None:
    receiver.replies["/busy"] = [Reply(429, {"Retry-After": "2"}), Reply(200)]
    answered(house.store, ("r1", receiver.url("/busy")))
    house.deliver_all("r1")
    first, second = receiver.got
    assert second.at - first.at >= 2
    assert [each.status for each in house.log("r1")] == [429, 200]


def test_each_attempt_has_the_same_id_and_body_and_a_signature_of_its_own(house: House, receiver: Receiver) -> None:
    receiver.replies["/hook"] = [Reply(500), Reply(200)]
    house.ladder_s = (0, 1.3)
    answered(house.store, ("r1", receiver.url("/hook")))
    house.deliver_all("r1")
    first, second = receiver.got
    assert (first.id, first.body) == (second.id, second.body) == ("r1", second.body)
    assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]
    for got in (first, second):
        Webhook(KEY).verify(got.body, dict(got.headers))


def test_an_answer_that_trickles_in_is_bounded_and_holds_up_nobody(house: House, receiver: Receiver) -> None:
    receiver.replies["/slow"] = [Reply(trickles=True)]
    house.timeout_s, house.ladder_s = 1.5, (0,)
    answered(house.store, ("slow", receiver.url("/slow")), *((f"r{n}", receiver.url("/hook")) for n in range(20)))
    started = monotonic()
    house.deliver_all("slow", *(f"r{n}" for n in range(20)))
    assert monotonic() - started < PATIENCE_S / 2
    (tried,) = house.log("slow")
    assert (tried.status, tried.error) == (None, "no whole answer within 1.5 s")
    assert 1.4 < tried.seconds < PATIENCE_S / 2
    assert sorted(receiver.ids("/hook")) == sorted(f"r{n}" for n in range(20))


def test_a_receiver_that_was_down_gets_everything_when_it_is_up(house: House, receiver: Receiver) -> None:
    receiver.close()
    house.ladder_s = (0, *[0.05] * 200)
    ids = [f"r{n}" for n in range(10)]
    answered(house.store, *((each, receiver.url("/hook")) for each in ids))
    failures = "velox_webhook_attempts_total"
    house.deliver(lambda: house.metrics.total(failures, cause="unreachable", outcome="due") >= FAILURES)
    assert receiver.got == []
    receiver.open()
    house.deliver_all(*ids)
    assert sorted(receiver.ids()) == sorted(ids)


def test_nothing_on_this_machine_is_reached_unless_it_is_allowed(house: House, receiver: Receiver) -> None:
    house.allow, house.ladder_s = (), (0,)
    urls = [receiver.url("/hook"), receiver.url("/hook", host="localhost"), receiver.url("/hook", host="[::1]")]
    answered(house.store, *((f"r{n}", url) for n, url in enumerate(urls)))
    house.deliver_all("r0", "r1", "r2")
    assert receiver.got == []
    assert house.metrics.total("velox_webhook_attempts_total", cause="refused", outcome="exhausted") == 3
    assert {house.request(f"r{n}").webhook_state for n in range(3)} == {WebhookState.EXHAUSTED}


def test_a_certificate_has_to_be_the_hosts_own(house: House, tmp_path: Path) -> None:
    authority = Authority.create(tmp_path)
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(*authority.sign(tmp_path, "receiver", host="localhost"))
    house.ladder_s = (0,)
    with Receiver(served) as receiver:
        by_name, by_address = receiver.url("/hook", host="localhost"), receiver.url("/hook")
        house.tls = ssl.create_default_context(cafile=str(authority.certificate))
        answered(house.store, ("good", by_name), ("other", by_address))
        house.deliver_all("good", "other")
        house.tls = httpcore2.default_ssl_context()
        answered(house.store, ("stranger", by_name))
        house.deliver_all("stranger")
    assert receiver.ids() == ["good"]
    for identity in ("other", "stranger"):
        (tried,) = house.log(identity)
        assert tried.state is WebhookState.EXHAUSTED
        assert "certificate" in tried.error.lower()


def test_a_delivery_that_is_asked_for_again_is_made_again(house: House, receiver: Receiver) -> None:
    answered(house.store, ("r1", receiver.url("/hook")))
    house.deliver_all("r1")
    assert house.store.redeliver("r1", "-", receiver.got[0].at)
    house.deliver_all("r1")
    assert receiver.ids() == ["r1", "r1"]
    assert len(house.log("r1")) == 2


def test_two_workers_of_one_store_deliver_each_once(house: House, receiver: Receiver) -> None:
    ids = [f"r{n:03}" for n in range(100)]
    answered(house.store, *((each, receiver.url("/hook")) for each in ids))

    async def both() -> None:
        def is_over() -> bool:
            return all(each.webhook_state is WebhookState.DELIVERED for each in house.store.look(ids).values())

        await asyncio.gather(house._deliver(is_over), house._deliver(is_over))

    asyncio.run(both())
    assert sorted(receiver.ids()) == ids
