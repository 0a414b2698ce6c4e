"""The store on a PostgreSQL that fails: cut off, silent, stopped, killed."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from time import monotonic

import psycopg
import pytest

from tests.results import make_result
from tests.servers.postgres import PostgresServer
from tests.servers.process import HOST, PATIENCE
from tests.servers.proxy import TcpProxy
from velox.core.states import State, WebhookState
from velox.errors import StoreUnavailableError
from velox.requests.database import apart
from velox.requests.rows import NewRequest, Tried
from velox.requests.store import RequestStore

NOW = 1_700_000_000.25
TIMEOUT_S = 0.5 * PATIENCE
SLACK_S = 3.0 * PATIENCE
"""What a busy machine may add, and the driver, which gives a connection two seconds at least."""


def new(identity: str = "one") -> NewRequest:
    return NewRequest(id=identity, model="sentiment", fingerprint="f", created_at=NOW, expires_at=NOW + 60)


def finish(store: RequestStore, *ids: str) -> None:
    store.finish([make_result(record_id=identity) for identity in ids], model="sentiment", ttl_s=60)


def state(store: RequestStore, identity: str = "one") -> State:
    return store.look([identity])[identity].state


def every_call(store: RequestStore) -> Sequence[Callable[[], object]]:
    return (
        store.open,
        store.probe,
        lambda: store.enter([new()]),
        lambda: store.refuse(["one"], "not_accepted", "", NOW),
        lambda: store.look(["one"]),
        lambda: finish(store, "one"),
        lambda: store.cancel("one", "-", NOW),
        lambda: store.search("-"),
        store.pending,
        lambda: store.claim(1, lease_s=1, now=NOW),
        lambda: store.tried([Tried("one", 1, NOW, WebhookState.GONE)]),
        lambda: store.deliveries("one"),
        lambda: store.redeliver("one", "-", NOW),
        lambda: store.expire(NOW),
    )


@pytest.fixture
def proxy(postgres: PostgresServer) -> Iterator[TcpProxy]:
    with TcpProxy(postgres.port) as proxy:
        yield proxy


@pytest.fixture
def behind_proxy(postgres: PostgresServer, proxy: TcpProxy) -> Iterator[RequestStore]:
    url = postgres.url(port=proxy.port).replace("postgres@", "postgres:secret@")
    store = RequestStore(apart(url, f"s_{uuid.uuid4().hex[:12]}"), timeout_s=TIMEOUT_S)
    store.open()
    yield store
    proxy.unblock()
    store.remove("")
    store.close()


def test_a_server_that_is_gone_is_unavailable_to_every_call_and_comes_back(
    behind_proxy: RequestStore, proxy: TcpProxy
) -> None:
    proxy.block()
    for call in every_call(behind_proxy):
        with pytest.raises(StoreUnavailableError, match="check REQUESTS_URL, and that the server runs") as caught:
            call()
        assert f"cannot use postgresql://postgres:***@{HOST}:{proxy.port}/postgres: " in str(caught.value)
    proxy.unblock()
    assert [each.what for each in behind_proxy.enter([new()])] == ["entered"], "without an open"


def test_a_connection_that_was_cut_is_replaced_and_nobody_notices(behind_proxy: RequestStore, proxy: TcpProxy) -> None:
    behind_proxy.enter([new()])
    for _ in range(3):
        proxy.disconnect()
        assert behind_proxy.look(["one"]).keys() == {"one"}


def test_a_server_that_says_nothing_is_unavailable_in_time(behind_proxy: RequestStore, proxy: TcpProxy) -> None:
    behind_proxy.enter([new()])
    proxy.hang()
    for call in (lambda: state(behind_proxy), lambda: finish(behind_proxy, "one")):
        started = monotonic()
        with pytest.raises(StoreUnavailableError):
            call()
        assert monotonic() - started < 2 * (TIMEOUT_S + SLACK_S)
    proxy.unblock()
    assert state(behind_proxy) is State.PENDING


def test_a_row_that_somebody_holds_is_unavailable_in_time(postgres: PostgresServer) -> None:
    url = apart(postgres.url(), f"s_{uuid.uuid4().hex[:12]}")
    store = RequestStore(url, timeout_s=TIMEOUT_S)
    store.open()
    store.enter([new(), new("two")])
    with closing(psycopg.connect(url)) as other:
        other.execute("UPDATE requests SET label = 'held' WHERE id = 'one'")
        started = monotonic()
        with pytest.raises(StoreUnavailableError, match="statement timeout"):
            finish(store, "one", "two")
        assert monotonic() - started < TIMEOUT_S + SLACK_S
        assert state(store, "two") is State.PENDING, "all of a batch, or none of it"
    finish(store, "one", "two")
    assert (state(store), state(store, "two")) == (State.COMPLETED, State.COMPLETED)
    store.close()


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_what_was_answered_survives_the_servers_end_and_its_return_is_enough(how: str) -> None:
    with PostgresServer(durable=True) as server:
        store = RequestStore(server.url(), timeout_s=TIMEOUT_S)
        store.open()
        store.enter([new(), new("two")])
        finish(store, "one")
        getattr(server, how)()
        for call in (lambda: state(store), lambda: finish(store, "two")):
            with pytest.raises(StoreUnavailableError, match="check REQUESTS_URL, and that the server runs"):
                call()
        server.start()
        finish(store, "two")
        assert (state(store), state(store, "two")) == (State.COMPLETED, State.COMPLETED)
        store.close()
