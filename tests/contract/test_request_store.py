"""One suite over the store's databases: what gateways, webhook workers and the sink may rely on."""

import sqlite3
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any, Protocol

import psycopg
import pytest

from tests.results import make_result
from tests.servers.postgres import PostgresServer
from velox.core.states import State, WebhookState
from velox.errors import Reason, SettingsError, StoreUnavailableError
from velox.records import Failure, Prediction, Result, Timings
from velox.requests.database import apart
from velox.requests.rows import NOBODY, Due, Finished, Key, NewRequest, Postponed, Request, Secret, Tried
from velox.requests.store import RequestStore

NOW = 1_700_000_000.25
TTL_S = 3600.0
URL = "https://example.com/hook"


class Rig(Protocol):
    """A database of the test's own."""

    url: str

    def execute(self, statement: str) -> None:
        """Do something to it behind the store's back."""


class SqliteRig:
    """A file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "made" / "requests.db"
        self.url = f"sqlite:///{self.path}"

    def execute(self, statement: str) -> None:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute(statement)


class PostgresRig:
    """A schema of its own on the session's server."""

    def __init__(self, server: PostgresServer) -> None:
        self._schema = f"s_{uuid.uuid4().hex[:12]}"
        self._server = server
        self.url = apart(server.url(), self._schema)

    def execute(self, statement: str) -> None:
        self._server.execute("postgres", f"SET search_path = {self._schema}", statement)


RIGS: dict[str, Callable[[pytest.FixtureRequest, Path], Rig]] = {
    "sqlite": lambda _, folder: SqliteRig(folder),
    "postgresql": lambda request, _: PostgresRig(request.getfixturevalue("postgres")),
}


@pytest.fixture(params=RIGS)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Rig:
    return RIGS[request.param](request, tmp_path)


@pytest.fixture(scope="module")
def postgres_store(postgres: PostgresServer) -> Iterator[tuple[RequestStore, PostgresRig]]:
    """A store for many tests: making its tables takes longer than most of them."""
    rig = PostgresRig(postgres)
    made = RequestStore(rig.url)
    made.open()
    yield made, rig
    made.close()


@pytest.fixture(params=RIGS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RequestStore]:
    """A store without requests."""
    if request.param == "postgresql":
        shared, rig = request.getfixturevalue("postgres_store")
        rig.execute("TRUNCATE requests, deliveries, keys, secrets, traces")
        yield shared
        return
    made = RequestStore(SqliteRig(tmp_path).url)
    made.open()
    yield made
    made.close()


def new(identity: str = "one", *, fingerprint: str = "f1", at: float = NOW, key: str | None = None) -> NewRequest:
    return NewRequest(
        id=identity, model="sentiment", fingerprint=fingerprint, created_at=at, expires_at=at + TTL_S, idempotency=key
    )


def hooked(identity: str = "one") -> NewRequest:
    return replace(new(identity), webhook_url=URL, webhook_form="plain")


def result(identity: str = "one", label: str = "POSITIVE", at: float = NOW + 1) -> Result:
    made = make_result(record_id=identity, label=label, produced_at=NOW)
    return replace(made, predicted_at=at)


def failure(identity: str = "one", reason: Reason = Reason.UNDECODABLE, at: float = NOW + 1) -> Failure:
    return Failure(make_result(record_id=identity, produced_at=NOW).record, reason, "no text", at)


def finish(store: RequestStore, *outcomes: Result | Failure) -> None:
    store.finish(outcomes, model="from_elsewhere", ttl_s=TTL_S)


def look(store: RequestStore, identity: str = "one") -> Request:
    return store.look([identity])[identity]


def whats(store: RequestStore, *requests: NewRequest) -> list[str]:
    return [entered.what for entered in store.enter(requests)]


def at_once(work: Callable[[int], object], threads: int = 4) -> list[object]:
    """Run it in threads that begin together; answer what each returned."""
    gate = Barrier(threads)

    def begin(number: int) -> object:
        gate.wait(30)
        return work(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(begin, range(threads)))


def test_it_says_what_was_stored_of_requests_and_nothing_of_cancelled_ones(store: RequestStore) -> None:
    store.enter([new("asked"), new("bad"), new("late"), new("cancelled")])
    store.cancel("cancelled", NOBODY, NOW)
    outcomes: list[Result | Failure] = [
        result("asked"),
        failure("bad"),
        failure("late", Reason.DEADLINE_PASSED),
        result("cancelled"),
        result("elsewhere"),
    ]
    stored = store.finish(outcomes, model="from_elsewhere", ttl_s=TTL_S)
    assert sorted(stored) == [
        Finished("from_elsewhere", "completed", NOW),
        Finished("sentiment", "completed", NOW),
        Finished("sentiment", "deadline_passed", NOW),
        Finished("sentiment", "failed", NOW),
    ]


def test_it_may_be_opened_and_closed_again_and_keeps_what_it_has(rig: Rig) -> None:
    store = RequestStore(rig.url)
    store.close()
    store.open()
    store.open()
    store.enter([new()])
    store.close()
    store.close()
    other = RequestStore(rig.url)
    other.open()
    assert look(other).state is State.PENDING
    other.close()


def test_several_open_a_new_database_at_once(rig: Rig) -> None:
    stores = [RequestStore(rig.url) for _ in range(4)]
    at_once(lambda number: stores[number].open())
    for number, store in enumerate(stores):
        store.enter([new(f"id-{number}")])
    assert len(stores[0].look([f"id-{number}" for number in range(4)])) == 4
    for store in stores:
        store.close()


def test_tables_of_another_version_are_refused_with_both_versions(rig: Rig) -> None:
    store = RequestStore(rig.url)
    store.open()
    store.close()
    rig.execute("UPDATE meta SET value = '77' WHERE name = 'schema'")
    with pytest.raises(SettingsError, match=r"are of version 77, and this Velox knows version 1; run the Velox"):
        store.open()
    store.close()


def test_a_request_is_kept_as_it_was_entered(store: RequestStore) -> None:
    everything = NewRequest(
        id="one",
        model="sentiment",
        owner="key-7",
        version="v2",
        fingerprint="ab" * 32,
        created_at=NOW,
        expires_at=NOW + TTL_S,
        deadline=NOW + 5,
        idempotency="order-1",
        webhook_url=URL,
        webhook_form="plain",
    )
    (entered,) = store.enter([everything])
    assert entered.what == "entered"
    assert look(store) == entered.request
    assert entered.request == Request(
        id="one",
        model="sentiment",
        owner="key-7",
        version="v2",
        state=State.PENDING,
        fingerprint="ab" * 32,
        created_at=NOW,
        completed_at=None,
        expires_at=NOW + TTL_S,
        deadline=NOW + 5,
        idempotency="order-1",
        label=None,
        score=None,
        scores=(),
        error_reason=None,
        error_detail=None,
        timings=None,
        answered_by=None,
        position=None,
        webhook_url=URL,
        webhook_form="plain",
        webhook_state=WebhookState.WAITING,
        webhook_attempts=0,
        webhook_due_at=None,
    )


def test_nothing_to_do_is_nothing_done(store: RequestStore) -> None:
    assert store.enter([]) == []
    assert store.look([]) == {}
    finish(store)
    store.tried([])
    store.refuse([], "not_accepted", "", NOW)
    assert store.claim(10, lease_s=1, now=NOW) == []
    assert store.expire(NOW) == 0


def test_the_same_request_is_entered_once_and_another_one_under_its_id_is_a_conflict(store: RequestStore) -> None:
    assert whats(store, new()) == ["entered"]
    assert whats(store, new(), new("two"), new("three")) == ["same", "entered", "entered"]
    assert whats(store, new(fingerprint="f2")) == ["conflict"]
    assert whats(store, replace(new(), owner="somebody-else")) == ["conflict"], "whose it is, is not theirs to know"
    assert look(store).fingerprint == "f1"


def test_a_key_finds_its_request_whatever_the_new_id(store: RequestStore) -> None:
    store.enter([new("first", key="order-1")])
    (again,) = store.enter([new("second", key="order-1")])
    assert (again.what, again.request.id) == ("same", "first")
    (other,) = store.enter([new("third", key="order-1", fingerprint="f2")])
    assert (other.what, other.request.id) == ("conflict", "first")
    assert store.look(["second", "third"]) == {}


def test_a_key_belongs_to_its_owner(store: RequestStore) -> None:
    ours, theirs = new("ours", key="order-1"), replace(new("theirs", key="order-1"), owner="key-2")
    assert whats(store, ours, theirs, new("without")) == ["entered", "entered", "entered"]


def test_what_is_twice_in_one_batch_is_entered_once(store: RequestStore) -> None:
    batch = [new("a", key="k"), new("b"), new("b"), new("c", key="k"), new("d", key="k", fingerprint="f2")]
    answers = store.enter(batch)
    assert [(each.what, each.request.id) for each in answers] == [
        ("entered", "a"),
        ("entered", "b"),
        ("same", "b"),
        ("same", "a"),
        ("conflict", "a"),
    ]
    assert sorted(store.look(["a", "b", "c", "d"])) == ["a", "b"]


def test_of_many_who_enter_the_same_key_one_does(store: RequestStore) -> None:
    answers = at_once(lambda number: store.enter([new(f"n{number}-{i}", key=f"key-{i}") for i in range(20)]))
    whats = [[entered.what for entered in each] for each in answers if isinstance(each, list)]
    for of_one_key in zip(*whats, strict=True):
        assert sorted(of_one_key) == ["entered", "same", "same", "same"]
    assert store.pending() == {"sentiment": 20}


def test_a_result_completes_its_request_and_keeps_what_it_was_entered_with(store: RequestStore) -> None:
    store.enter([replace(new(key="order-1"), owner="key-7", version="v2")])
    scores = (("POSITIVE", 0.75), ("NEGATIVE", 0.25))
    answer = replace(
        result(),
        prediction=Prediction("POSITIVE", 0.75, scores),
        timings=Timings(queued_s=0.5, decoded_s=0.25, inferred_s=0.125, batch_size=8),
    )
    finish(store, answer)
    row = look(store)
    assert (row.state, row.completed_at, row.label, row.score, row.scores) == (
        State.COMPLETED,
        NOW + 1,
        "POSITIVE",
        0.75,
        scores,
    )
    assert row.timings == {"queued_s": 0.5, "decoded_s": 0.25, "inferred_s": 0.125, "batch_size": 8}
    assert row.class_ids == ()
    assert (row.answered_by, row.version, row.position) == ("mobilenet_v2", "4f1c", "image_data-0-0")
    assert (row.model, row.owner, row.idempotency, row.created_at) == ("sentiment", "key-7", "order-1", NOW)
    assert (row.webhook_state, row.webhook_due_at) == (WebhookState.NONE, None)
    assert row.expires_at == NOW + 1 + TTL_S, "it is kept from now on"
    assert isinstance(row.score, float)
    assert isinstance(row.completed_at, float)


def test_labels_keep_their_numbers_in_the_models_list(store: RequestStore) -> None:
    answer = result()
    model = replace(answer.model, labels=("cat", "dog", "fox"))
    finish(store, replace(answer, model=model, prediction=Prediction("fox", 0.5, (("fox", 0.5), ("cat", 0.25)))))
    row = look(store)
    assert (row.scores, row.class_ids) == ((("fox", 0.5), ("cat", 0.25)), (2, 0))


def test_a_failure_fails_it_with_the_reason(store: RequestStore) -> None:
    store.enter([replace(new(), version="v2")])
    finish(store, failure())
    row = look(store)
    assert (row.state, row.error_reason, row.error_detail) == (State.FAILED, "undecodable", "no text")
    assert (row.label, row.score, row.scores, row.answered_by, row.version) == (None, None, (), None, "v2")


def test_the_same_outcomes_again_change_nothing(store: RequestStore) -> None:
    store.enter([hooked("a"), hooked("b"), new("c")])
    outcomes: list[Result | Failure] = [result("a"), failure("b"), result("c"), result("elsewhere")]
    ids = ["a", "b", "c", "elsewhere"]
    finish(store, *outcomes)
    before = store.look(ids)
    finish(store, *reversed(outcomes))
    assert store.look(ids) == before
    assert len(before) == 4


def test_the_last_outcome_of_an_id_counts_in_one_batch_and_over_several(store: RequestStore) -> None:
    finish(store, failure(), result(label="NEGATIVE"), result())
    assert (look(store).state, look(store).label) == (State.COMPLETED, "POSITIVE")
    finish(store, failure(reason=Reason.RESULT_REFUSED))
    row = look(store)
    assert (row.state, row.error_reason, row.label, row.answered_by) == (State.FAILED, "result_refused", None, None)


def test_a_record_from_elsewhere_can_be_asked_for_too(store: RequestStore) -> None:
    finish(store, result("good"), failure("bad"))
    good, bad = look(store, "good"), look(store, "bad")
    assert (good.state, bad.state) == (State.COMPLETED, State.FAILED)
    assert (good.model, good.owner, good.created_at, good.expires_at) == ("from_elsewhere", "-", NOW, NOW + 1 + TTL_S)


def test_text_that_no_database_takes_is_mended_and_a_number_that_is_none_left_out(store: RequestStore) -> None:
    strange = "\ud800 and \0"
    odd = replace(
        result("odd"),
        prediction=Prediction(strange, 0.5, ((strange, 0.5),)),
        timings=Timings(float("nan"), 0.0, 0.0, 1),
    )
    finish(store, odd, replace(failure("worse"), detail=strange))
    assert look(store, "odd").label == "? and \ufffd"
    assert look(store, "odd").scores == (("? and \ufffd", 0.5),)
    assert (look(store, "odd").timings or {})["queued_s"] is None
    assert look(store, "worse").error_detail == "? and \ufffd"


def test_a_large_batch_is_one_transaction(store: RequestStore) -> None:
    ids = [f"id-{number:04}" for number in range(1100)]
    assert set(whats(store, *map(new, ids))) == {"entered"}
    finish(store, *map(result, ids))
    assert {row.state for row in store.look(ids).values()} == {State.COMPLETED}
    assert len(store.look(ids)) == 1100


def test_a_webhook_is_due_with_the_outcome_once(store: RequestStore) -> None:
    store.enter([hooked("a"), hooked("b"), new("none")])
    finish(store, result("a"), failure("b"), result("none"))
    assert {each.request.id for each in store.claim(10, lease_s=60, now=NOW + 1)} == {"a", "b"}
    leased = look(store, "a")
    finish(store, result("a"), failure("b"), result("none"))
    assert look(store, "a") == leased, "the same outcome makes it due no second time"
    store.tried([Tried("a", 1, NOW + 2, WebhookState.DELIVERED, status=200)])
    finish(store, result("a"))
    assert look(store, "a").webhook_state is WebhookState.DELIVERED
    assert store.claim(10, lease_s=60, now=NOW + 30) == []


def test_a_cancelled_request_stays_so_and_its_late_result_is_dropped(store: RequestStore) -> None:
    store.enter([hooked()])
    before = store.cancel("one", "-", NOW + 1)
    assert before is not None
    assert before.state is State.PENDING
    for late in (result(), failure()):
        finish(store, late)
        row = look(store)
        assert (row.state, row.completed_at, row.label) == (State.CANCELLED, NOW + 1, None)
    assert store.claim(10, lease_s=60, now=NOW + 100) == []
    again = store.cancel("one", "-", NOW + 2)
    assert again is not None
    assert again.state is State.CANCELLED
    finish(store, result())
    assert look(store).state is State.CANCELLED, "cancelled twice, it is not removed and brought back"


def test_a_final_request_is_removed_with_its_log_and_a_strangers_is_not_there(store: RequestStore) -> None:
    store.enter([hooked("a"), hooked("b")])
    finish(store, result("a"), failure("b"))
    store.tried([Tried(identity, 1, NOW + 2, WebhookState.DELIVERED, status=200) for identity in ("a", "b")])
    assert store.cancel("a", "somebody-else", NOW) is None
    assert store.cancel("unknown", "-", NOW) is None
    removed = store.cancel("a", "-", NOW)
    assert removed is not None
    assert removed.label == "POSITIVE"
    assert store.look(["a", "b"]).keys() == {"b"}
    assert (store.deliveries("a"), len(store.deliveries("b"))) == ([], 1)


def test_a_refused_request_fails_until_it_is_entered_again(store: RequestStore) -> None:
    store.enter([hooked("refused"), new("answered")])
    finish(store, result("answered"))
    store.refuse(["refused", "answered", "unknown"], "not_accepted", "timed out", NOW + 2)
    row = look(store, "refused")
    assert (row.state, row.error_reason, row.error_detail) == (State.FAILED, "not_accepted", "timed out")
    assert look(store, "answered").state is State.COMPLETED
    assert store.claim(10, lease_s=1, now=NOW + 100) == [], "the client heard of it at once"
    later = replace(hooked("refused"), created_at=NOW + 10, expires_at=NOW + 10 + TTL_S)
    (again,) = store.enter([later])
    assert again == ("same", look(store, "refused"))
    row = again.request
    assert (row.state, row.error_reason, row.completed_at) == (State.PENDING, None, None)
    assert row.expires_at == NOW + 10 + TTL_S
    assert whats(store, new("answered")) == ["same"]
    assert look(store, "answered").state is State.COMPLETED


def test_the_result_of_a_refused_request_wins_when_its_record_was_taken_after_all(store: RequestStore) -> None:
    store.enter([hooked()])
    store.refuse(["one"], "not_accepted", "timed out", NOW + 1)
    finish(store, result())
    assert (look(store).state, look(store).error_reason) == (State.COMPLETED, None)
    assert len(store.claim(10, lease_s=1, now=NOW + 100)) == 1
    finish(store, failure())
    store.enter([hooked()])
    assert look(store).state is State.FAILED, "what failed with a record is not tried again by itself"


def test_requests_are_found_newest_first_page_by_page(store: RequestStore) -> None:
    store.enter([new(f"id-{n}", at=NOW + n // 2) for n in range(7)])
    store.enter([replace(new("stranger"), owner="key-2"), replace(new("other"), model="images", created_at=NOW - 1)])
    finish(store, result("id-3"))
    found: list[str] = []
    after, pages = None, 0
    while pages == 0 or after is not None:
        page = store.search("-", after=after, most=3)
        found += [each.id for each in page.requests]
        after, pages = page.after, pages + 1
    assert found == ["id-6", "id-5", "id-4", "id-3", "id-2", "id-1", "id-0", "other"]
    assert pages == 3
    assert [each.id for each in store.search("-", model="images").requests] == ["other"]
    assert [each.id for each in store.search("-", state=State.COMPLETED).requests] == ["id-3"]
    assert store.search("nobody") == ([], None)
    for wrong in ("", "id-3", "yesterday:id-3"):
        with pytest.raises(ValueError, match=r"no place|could not convert"):
            store.search("-", after=wrong)


def test_pending_requests_are_counted_by_model(store: RequestStore) -> None:
    assert store.pending() == {}
    store.enter([new("a"), new("b"), replace(new("c"), model="images")])
    assert store.pending() == {"sentiment": 2, "images": 1}
    finish(store, result("a"))
    store.cancel("c", "-", NOW)
    assert store.pending() == {"sentiment": 1}


def test_a_lease_ends_and_the_delivery_is_somebody_elses(store: RequestStore) -> None:
    store.enter([hooked()])
    finish(store, result())
    (first,) = store.claim(10, lease_s=60, now=NOW + 5)
    assert (first.attempt, first.leased_until) == (1, NOW + 65)
    assert first.request == look(store)
    assert store.claim(10, lease_s=60, now=NOW + 64) == []
    (second,) = store.claim(10, lease_s=60, now=NOW + 65)
    assert (second.attempt, second.leased_until) == (1, NOW + 125), "nobody said what came of the first"


def test_a_delivery_that_is_put_off_is_given_back_without_an_attempt(store: RequestStore) -> None:
    store.enter([hooked("a"), hooked("b")])
    finish(store, result("a"), result("b"))
    leases = {claim.request.id: claim.leased_until for claim in store.claim(9, lease_s=60, now=NOW + 5)}
    store.postpone([Postponed("b", leases["b"], NOW + 20), Postponed("a", leases["a"], NOW + 10)])
    assert store.claim(9, lease_s=60, now=NOW + 9) == []
    assert [(claim.request.id, claim.attempt) for claim in store.claim(9, lease_s=60, now=NOW + 10)] == [("a", 1)]
    assert store.deliveries("a") == []


def test_a_delivery_that_somebody_else_has_claimed_cannot_be_put_off(store: RequestStore) -> None:
    store.enter([hooked()])
    finish(store, result())
    (late,) = store.claim(9, lease_s=1, now=NOW + 5)
    store.claim(9, lease_s=60, now=NOW + 6)
    store.postpone([Postponed("one", late.leased_until, NOW + 7)])
    assert store.claim(9, lease_s=60, now=NOW + 8) == []
    store.tried([Tried("one", 1, NOW + 8, WebhookState.DELIVERED)])
    store.postpone([Postponed("one", NOW + 66, NOW + 9)])
    assert look(store).webhook_state is WebhookState.DELIVERED


def test_what_is_due_is_counted_without_what_is_claimed(store: RequestStore) -> None:
    assert store.due(NOW) == Due(0, None)
    store.enter([hooked(name) for name in "abc"])
    finish(store, result("a", at=NOW + 3), result("b", at=NOW + 1), result("c", at=NOW + 2))
    assert store.due(NOW + 2) == Due(2, NOW + 1)
    store.claim(1, lease_s=60, now=NOW + 2)
    assert store.due(NOW + 9) == Due(2, NOW + 2)


def test_the_delivery_that_has_waited_longest_comes_first(store: RequestStore) -> None:
    store.enter([hooked(name) for name in "abc"])
    finish(store, result("b", at=NOW + 1), result("c", at=NOW + 2), result("a", at=NOW + 3))
    assert [claim.request.id for claim in store.claim(2, lease_s=60, now=NOW + 9)] == ["b", "c"]
    assert [claim.request.id for claim in store.claim(2, lease_s=60, now=NOW + 9)] == ["a"]
    assert store.claim(2, lease_s=60, now=NOW + 9) == []


def test_of_many_who_claim_each_gets_deliveries_of_its_own(store: RequestStore) -> None:
    ids = [f"id-{number:03}" for number in range(120)]
    store.enter(list(map(hooked, ids)))
    finish(store, *map(result, ids))

    def claim_all(_: int) -> list[str]:
        mine: list[str] = []
        while claims := store.claim(7, lease_s=60, now=NOW + 5):
            mine += [claim.request.id for claim in claims]
        return mine

    claimed = [identity for each in at_once(claim_all) if isinstance(each, list) for identity in each]
    left = [claim.request.id for claim in store.claim(1000, lease_s=60, now=NOW + 5)]
    assert sorted(claimed + left) == ids


def test_what_came_of_attempts_is_in_the_request_and_in_its_log(store: RequestStore) -> None:
    store.enter([hooked()])
    finish(store, result())
    failed = Tried("one", 1, NOW + 5, WebhookState.DUE, NOW + 10, 500, 0.25, "500 Internal Server Error")
    gone = Tried("one", 2, NOW + 11, WebhookState.DELIVERED, None, 200, 0.5)
    store.claim(1, lease_s=60, now=NOW + 5)
    store.tried([failed])
    row = look(store)
    assert (row.webhook_state, row.webhook_due_at, row.webhook_attempts) == (WebhookState.DUE, NOW + 10, 1)
    (second,) = store.claim(1, lease_s=60, now=NOW + 10)
    assert second.attempt == 2
    store.tried([gone])
    store.tried([gone])
    row = look(store)
    assert (row.webhook_state, row.webhook_due_at, row.webhook_attempts) == (WebhookState.DELIVERED, None, 2)
    assert store.deliveries("one") == [failed, gone]
    assert store.deliveries("unknown") == []


@pytest.mark.parametrize("final", [WebhookState.DELIVERED, WebhookState.GONE, WebhookState.EXHAUSTED])
def test_a_delivery_that_is_over_is_claimed_no_more(store: RequestStore, final: WebhookState) -> None:
    store.enter([hooked()])
    finish(store, result())
    store.claim(1, lease_s=1, now=NOW + 5)
    store.tried([Tried("one", 1, NOW + 6, final, status=410)])
    assert look(store).webhook_state is final
    assert store.claim(1, lease_s=1, now=NOW + 1000) == []


def test_a_worker_whose_lease_has_ended_undoes_nothing(store: RequestStore) -> None:
    store.enter([hooked("a"), hooked("b")])
    finish(store, result("a"), result("b"))
    store.claim(2, lease_s=1, now=NOW + 5)
    store.claim(2, lease_s=60, now=NOW + 7)
    store.tried([Tried("a", 1, NOW + 8, WebhookState.DELIVERED), Tried("b", 1, NOW + 8, WebhookState.DUE, NOW + 300)])
    late = [Tried("a", 1, NOW + 9, WebhookState.DUE, NOW + 10), Tried("b", 1, NOW + 9, WebhookState.DUE, NOW + 10)]
    store.tried(late)
    assert look(store, "a").webhook_state is WebhookState.DELIVERED
    assert look(store, "b").webhook_due_at == NOW + 300
    store.tried([Tried("b", 1, NOW + 12, WebhookState.DELIVERED)])
    assert look(store, "b").webhook_state is WebhookState.DELIVERED, "it has been delivered, whoever did it"
    assert [each.at for each in store.deliveries("b")] == [NOW + 8, NOW + 9, NOW + 12]


def test_of_a_request_that_is_gone_no_attempt_is_noted(store: RequestStore) -> None:
    store.enter([hooked("here")])
    finish(store, result("here"))
    store.claim(1, lease_s=1, now=NOW + 5)
    store.tried([Tried(identity, 1, NOW + 6, WebhookState.DELIVERED) for identity in ("gone", "here")])
    assert (store.deliveries("gone"), len(store.deliveries("here"))) == ([], 1)


def test_a_delivery_begins_anew_when_asked_to(store: RequestStore) -> None:
    store.enter([hooked("a"), hooked("pending"), new("none"), hooked("cancelled")])
    finish(store, result("a"), result("none"))
    store.cancel("cancelled", "-", NOW)
    store.claim(1, lease_s=1, now=NOW + 5)
    store.tried([Tried("a", 8, NOW + 6, WebhookState.EXHAUSTED)])
    assert not any(store.redeliver(identity, "-", NOW) for identity in ("pending", "none", "cancelled", "unknown"))
    assert not store.redeliver("a", "somebody-else", NOW)
    assert store.redeliver("a", "-", NOW + 50)
    (claim,) = store.claim(9, lease_s=1, now=NOW + 50)
    assert (claim.request.id, claim.attempt) == ("a", 1)


def test_what_has_expired_is_removed_a_portion_at_a_time(store: RequestStore) -> None:
    store.enter([new(f"id-{number}", at=NOW + number) for number in range(5)])
    store.enter([hooked("told"), hooked("due")])
    finish(store, result("told", at=NOW), result("due", at=NOW))
    store.claim(1, lease_s=1, now=NOW)
    store.tried([Tried("told", 1, NOW, WebhookState.DELIVERED)])
    assert store.expire(NOW + TTL_S - 1) == 0
    assert store.expire(NOW + TTL_S + 2, most=3) == 3
    assert store.expire(NOW + TTL_S + 2, most=3) == 1
    assert store.expire(NOW + TTL_S + 2, most=3) == 0
    left = store.look([*(f"id-{number}" for number in range(5)), "told", "due"])
    assert left.keys() == {"id-3", "id-4", "due"}, "a result that is still to be delivered stays"
    assert store.deliveries("told") == []


def test_an_owners_key_is_free_again_when_its_request_has_expired(store: RequestStore) -> None:
    store.enter([new("old", key="order-1")])
    store.expire(NOW + TTL_S)
    assert whats(store, new("new", key="order-1", fingerprint="f2")) == ["entered"]


def test_gateways_workers_and_webhook_workers_write_at_the_same_time(store: RequestStore) -> None:
    """Each takes its rows in the same order, so none waits for another in a circle."""

    def work(number: int) -> int:
        ids = [f"id-{i:02}" for i in range(20)]
        ids = ids if number % 2 else ids[::-1]
        for _ in range(3):
            store.enter(list(map(hooked, ids)))
            finish(store, *map(result, ids))
            claims = store.claim(40, lease_s=0, now=NOW + 5)
            store.tried([Tried(c.request.id, c.attempt, NOW, WebhookState.DUE, NOW) for c in claims])
        return number

    assert at_once(work) == [0, 1, 2, 3]
    states = [row.state for row in store.look([f"id-{i:02}" for i in range(20)]).values()]
    assert states == [State.COMPLETED] * 20


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("", "no address of a database; write sqlite:///"),
        ("postgresql://user:secret@host:port/db", "no address of a database; write sqlite:///"),
        ("mysql://user:secret@host/db", "mysql is no database that requests can be kept in; write sqlite:///"),
        ("sqlite://", "need a file; write sqlite:///velox-requests.db"),
        ("sqlite:///:memory:", "need a file; write sqlite:///velox-requests.db"),
    ],
)
def test_an_address_that_is_none_is_refused_without_showing_its_password(url: str, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint) as caught:
        RequestStore(url)
    assert "REQUESTS_URL" in str(caught.value)
    assert "secret" not in str(caught.value)


def every_call(store: RequestStore) -> Sequence[Callable[[], object]]:
    return (
        store.open,
        lambda: store.enter([new()]),
        lambda: store.refuse(["one"], "not_accepted", "", NOW),
        lambda: store.look(["one"]),
        lambda: finish(store, result()),
        lambda: store.cancel("one", "-", NOW),
        lambda: store.search("-"),
        store.pending,
        lambda: store.claim(1, lease_s=1, now=NOW),
        lambda: store.tried([Tried("one", 1, NOW, WebhookState.GONE)]),
        lambda: store.deliveries("one"),
        lambda: store.redeliver("one", "-", NOW),
        lambda: store.expire(NOW),
    )


@pytest.mark.parametrize("url", ["postgresql://host/name", "postgres://host/name", "postgresql+psycopg://host/name"])
def test_a_driver_that_is_missing_is_named_with_the_remedy(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert RequestStore(url).address == "postgresql://host/name"
    monkeypatch.setitem(sys.modules, "velox.requests.postgres", None)
    with pytest.raises(SettingsError, match=r"REQUESTS_URL: postgresql needs psycopg .*pip install 'velox\[gateway\]'"):
        RequestStore(url)


def test_requests_are_read_and_removed_by_the_beginning_of_their_ids(store: RequestStore) -> None:
    store.enter([new("a-1"), hooked("a-2"), new("A-3"), new("b-4")])
    finish(store, result("a-2"), result("A-3"), failure("a-5"))
    store.tried([Tried("a-2", 1, NOW, WebhookState.DELIVERED)])
    assert [each.id for each in store.completed("a-")] == ["a-2"]
    assert sorted(each.id for each in store.completed("")) == ["A-3", "a-2"]
    store.remove("a-")
    assert store.look(["a-1", "a-2", "A-3", "b-4", "a-5"]).keys() == {"A-3", "b-4"}
    assert store.deliveries("a-2") == []


def test_all_is_removed_at_once_and_that_twice(rig: Rig) -> None:
    store = RequestStore(rig.url)
    store.open()
    finish(store, result())
    store.remove("")
    store.remove("")
    with pytest.raises(StoreUnavailableError):
        list(store.completed(""))
    store.open()
    assert list(store.completed("")) == []
    store.remove("")
    store.close()


def test_a_probe_says_what_is_there_and_leaves_nothing_behind(rig: Rig) -> None:
    store = RequestStore(rig.url)
    first = store.probe()
    with pytest.raises(StoreUnavailableError):
        list(store.completed(""))
    store.open()
    store.enter([new(), new("two")])
    assert store.probe() == f"2 requests in {store.address}, tables of version 1"
    assert store.address in first
    store.remove("")
    store.close()


def test_tables_of_a_schema_of_their_own_leave_none_behind_but_what_others_keep_there(
    postgres: PostgresServer,
) -> None:
    """As those of `velox verify` are."""
    rig = PostgresRig(postgres)
    store = RequestStore(rig.url)
    store.open()
    rig.execute("CREATE TABLE theirs (id text)")
    store.remove("")
    rig.execute("DROP TABLE theirs")
    store.open()
    store.remove("")
    with pytest.raises(psycopg.errors.InvalidSchemaName):
        rig.execute("CREATE TABLE theirs (id text)")
    store.close()


def test_a_file_whose_lock_is_held_is_unavailable_and_then_goes_on(tmp_path: Path) -> None:
    rig = SqliteRig(tmp_path)
    store = RequestStore(rig.url, timeout_s=0.05)
    store.open()
    with closing(sqlite3.connect(rig.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(2):
            with pytest.raises(StoreUnavailableError, match=r"requests\.db: .*locked; another process has held its"):
                store.enter([new()])
        assert store.look(["one"]) == {}, "who reads does not wait"
    assert whats(store, new()) == ["entered"]
    store.close()


def test_a_file_that_is_moved_away_is_begun_again(tmp_path: Path) -> None:
    rig = SqliteRig(tmp_path)
    store = RequestStore(rig.url)
    store.open()
    store.enter([new()])
    rig.path.parent.rename(tmp_path / "aside")
    assert store.look(["one"]) == {}
    assert whats(store, new("two")) == ["entered"]
    store.close()
    other = RequestStore(rig.url)
    other.open()
    assert other.look(["one", "two"]).keys() == {"two"}
    other.close()


def test_a_file_that_is_no_database_is_unavailable_to_every_call(tmp_path: Path) -> None:
    rig = SqliteRig(tmp_path)
    rig.path.parent.mkdir()
    rig.path.write_bytes(b"certainly not a database" * 100)
    store = RequestStore(rig.url)
    for call in every_call(store):
        with pytest.raises(StoreUnavailableError, match="not a database; the file is damaged or no SQLite database"):
            call()
    rig.path.unlink()
    store.open()
    store.close()


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "made").write_bytes(b"")
    store = RequestStore(SqliteRig(tmp_path).url)
    with pytest.raises(StoreUnavailableError, match="check REQUESTS_URL, its folder's permissions and free space"):
        store.open()


def test_what_is_committed_is_flushed_to_the_disk(tmp_path: Path) -> None:
    store = RequestStore(SqliteRig(tmp_path).url)
    store.open()
    with store._database.reading() as transaction:
        assert transaction.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert transaction.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    store.close()


def key(identity: str = "a1", **changes: Any) -> Key:  # noqa: ANN401 - as varied as the fields
    made = Key(id=identity, name="shop ☂", hash="h" * 64, scopes=frozenset({"read", "submit"}), created_at=NOW)
    return replace(made, **changes)


def test_api_keys_come_back_as_they_were_added(store: RequestStore) -> None:
    assert not store.keys.are_there()
    first, second = key(), key("b2", created_at=NOW + 1, rate="60/minute", scopes=frozenset())
    store.keys.add(second)
    store.keys.add(first)
    store.keys.add(replace(first, name="again"))
    assert store.keys.all() == [first, second]
    assert store.keys.find(["b2", "b2", "nobody"]) == {"b2": second}
    assert store.keys.find([]) == {}
    assert store.keys.are_there()


def test_a_key_is_revoked_once_and_for_ever(store: RequestStore) -> None:
    store.keys.add(key())
    assert store.keys.revoke("a1", NOW + 5)
    assert not store.keys.revoke("a1", NOW + 9)
    assert not store.keys.revoke("nobody", NOW)
    store.keys.add(key())
    assert store.keys.find(["a1"])["a1"].revoked_at == NOW + 5
    assert not store.keys.are_there()


def test_a_database_from_before_there_were_keys_gets_their_table(rig: Rig) -> None:
    store = RequestStore(rig.url)
    with closing(store):
        store.open()
        store.enter([new()])
        rig.execute("DROP TABLE keys")
        store.open()
        store.keys.add(key())
        assert store.keys.are_there()
        assert look(store).id == "one"


def signing(store: RequestStore, identity: str, *, url: str = URL, owner: str = NOBODY, now: float = NOW + 2) -> str:
    """Answer what signs the webhook of a new request of this owner to this URL."""
    store.enter([replace(hooked(identity), webhook_url=url, owner=owner)])
    finish(store, result(identity))
    (claim,) = store.claim(10, lease_s=TTL_S, now=now)
    assert claim.request.id == identity
    return claim.secret


def secret(store: RequestStore, text: str, *, owner: str = NOBODY, at: float = NOW, keep_s: float = 0.0) -> Secret:
    return store.secrets.replace(owner, "https://example.com", text, at=at, keep_s=keep_s)


def test_a_destination_without_a_secret_of_its_own_is_signed_as_all_others(store: RequestStore) -> None:
    secret(store, "one")
    assert signing(store, "port", url="https://example.com:8443/hook") == ""
    assert signing(store, "scheme", url="http://example.com/hook") == ""
    assert signing(store, "none", url="not a URL") == ""
    assert signing(store, "same", url="https://EXAMPLE.com:443/other?x=1") == "one"


def test_while_a_secret_changes_the_one_before_signs_too_for_as_long_as_was_said(store: RequestStore) -> None:
    assert secret(store, "one").before == ""
    assert secret(store, "two", keep_s=60).before == "one"
    assert signing(store, "then", now=NOW + 59) == "two,one"
    assert signing(store, "later", now=NOW + 61) == "two"
    assert secret(store, "two", at=NOW + 1, keep_s=600) == secret(store, "two"), "the same again changes nothing"
    assert secret(store, "three", at=NOW + 10).before_until == NOW + 10
    assert signing(store, "at once", now=NOW + 11) == "three"


def test_an_owners_own_secret_goes_before_the_one_for_all_and_signs_for_nobody_else(store: RequestStore) -> None:
    secret(store, "mine", owner="key-1")
    assert signing(store, "a", owner="key-2") == ""
    secret(store, "all")
    assert signing(store, "b", owner="key-1") == "mine"
    assert signing(store, "c", owner="key-2") == "all"
    assert [each.owner for each in store.secrets.all()] == ["-", "key-1"]
    assert [each.secret for each in store.secrets.all("key-1")] == ["mine"]
    assert not store.secrets.remove("key-2", "https://example.com")
    assert store.secrets.remove("key-1", "https://example.com")
    assert signing(store, "d", owner="key-1") == "all"


def test_the_first_secrets_of_a_destination_may_come_at_once(store: RequestStore) -> None:
    at_once(lambda number: secret(store, f"number {number}", keep_s=60))
    (kept,) = store.secrets.all()
    assert kept.secret.startswith("number") and kept.before.startswith("number")


def test_a_secret_is_not_shown_by_accident(store: RequestStore) -> None:
    secret(store, "hidden-1")
    assert "hidden" not in repr(secret(store, "hidden-2"))


def test_a_trace_comes_with_the_claim_and_goes_with_its_request(store: RequestStore) -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    store.enter([replace(hooked("traced"), trace=trace), hooked("other")])
    store.enter([replace(hooked("traced"), trace="another")])
    finish(store, result("traced"), result("other"))
    claims = store.claim(10, lease_s=10, now=NOW + 2)
    assert {claim.request.id: claim.trace for claim in claims} == {"traced": trace, "other": ""}
    assert store.cancel("traced", NOBODY, NOW) is not None
    store.enter([hooked("traced")])
    finish(store, result("traced"))
    (claim,) = [each for each in store.claim(10, lease_s=10, now=NOW + 20) if each.request.id == "traced"]
    assert claim.trace == ""
