"""Who may ask the gateway, what, and how often."""

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.routing import APIRoute

from tests.fakes import FakeClock
from tests.gateways import FakeStore, Running
from velox.core.api_keys import SCOPES, make_key, read_key
from velox.gateway import access, batches, deliveries, inference, keychain, operations, predict, v1
from velox.gateway.keychain import REMEMBERED_S, Keychain
from velox.settings import Settings

TEXT = {"text": "I love it!"}
ELSEWHERE = "0.0.0.0"  # noqa: S104 - nothing listens here
ROUTES = [
    route
    for module in (predict, inference, v1, batches, deliveries, operations)
    for route in module.router.routes
    if isinstance(route, APIRoute)
]


@pytest.fixture
def running() -> Running:
    return Running(auth="on")


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize(
    ("auth", "host", "is_asked"),
    [
        ("on", "127.0.0.1", True),
        ("auto", "127.0.0.1", False),
        ("auto", "::1", False),
        ("auto", "localhost", False),
        ("auto", ELSEWHERE, True),
        ("auto", "::", True),
        ("auto", "gateway.example", True),
        ("off", ELSEWHERE, False),
    ],
)
def test_auth_says_whether_a_key_is_asked_for(auth: str, host: str, *, is_asked: bool) -> None:
    settings = Settings(auth=auth, gateway_host=host)
    assert access.asks_for_keys(settings) is is_asked
    answer = Running(auth=auth, gateway_host=host).post("/predict", json=TEXT)
    assert answer.status_code == (401 if is_asked else 202)


def paths() -> Iterator[tuple[str, str]]:
    for route in ROUTES:
        for method in route.methods or ():
            yield method, route.path.replace("{request_id}", "some-id")
    yield from (("GET", path) for path in ("/docs", "/openapi.json", "/redoc", "/no/such/path", "/health/", "//health"))


@pytest.mark.parametrize(("method", "path"), list(paths()))
def test_all_but_what_is_open_asks_for_a_key(method: str, path: str, running: Running) -> None:
    answer = running.request(method, path)
    assert (answer.status_code == 401) is (path not in access.OPEN)
    if path not in access.OPEN:
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="velox"'
        assert "Authorization: Bearer KEY or X-API-Key: KEY" in answer.json()["detail"]
    assert running.store.calls == []


def test_what_is_open_exists(running: Running) -> None:
    assert {path: running.get(path).status_code for path in access.OPEN if path not in {"/livez", "/readyz"}} == {
        path: 200 for path in access.OPEN if path not in {"/livez", "/readyz"}
    }


@pytest.mark.parametrize("header", ["Authorization", "X-API-Key"])
def test_a_good_key_lets_in_by_either_header(header: str, running: Running) -> None:
    key = running.store.keys.made("submit")
    answer = running.post("/predict", json=TEXT, headers={header: key if header == "X-API-Key" else f"bearer  {key}"})
    assert answer.status_code == 202
    (row,) = running.store.rows.values()
    assert row.owner == key.split("_")[1]


def test_what_a_proxy_says_of_itself_does_not_hide_the_key(running: Running) -> None:
    headers = {"Authorization": "Basic cHJveHk6cHJveHk=", "X-API-Key": running.store.keys.made("submit")}
    assert running.post("/predict", json=TEXT, headers=headers).status_code == 202


def altered(key: str) -> str:
    return key[:-1] + ("A" if key[-1] != "A" else "B")


@pytest.mark.parametrize("kind", ["unknown", "altered", "revoked", "nonsense", "long", "not ASCII", "empty"])
@pytest.mark.parametrize("path", ["/predict", "/v1/requests"])
def test_a_key_that_is_not_good_is_refused(kind: str, path: str, running: Running) -> None:
    key = running.store.keys.made("submit", "read")
    sent = {
        "unknown": make_key()[0],
        "altered": altered(key),
        "revoked": key,
        "nonsense": "hunter2",
        "long": key * 500,
        "not ASCII": key[:-1] + "é",
        "empty": "",
    }[kind]
    if kind == "revoked":
        running.store.keys.revoke(key.split("_")[1], 2.0)
    headers = {"Authorization": f"Bearer {sent}".encode("latin-1")}
    answer = running.post(path, json=TEXT, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="velox", error="invalid_token"'
    assert "no such API key, or it is revoked" in answer.json()["detail"]
    assert running.asker.asked == []


@pytest.mark.parametrize(
    ("scope", "method", "path", "others"),
    [
        ("submit", "POST", "/predict", 202),
        ("read", "GET", "/predict/some-id", 404),
        ("submit", "DELETE", "/status/some-id", 404),
        ("submit", "DELETE", "/v1/requests/some-id", 404),
        ("read", "GET", "/v1/models", 200),
        ("read", "GET", "/v1/requests/some-id/events", 404),
        ("read", "GET", "/v1/requests/some-id/webhook", 404),
        ("admin", "POST", "/v1/requests/some-id/webhook", 404),
    ],
)
def test_a_key_is_good_for_its_scopes_alone(scope: str, method: str, path: str, others: int, running: Running) -> None:
    good = bearer(running.store.keys.made(scope))
    lacking = bearer(running.store.keys.made(*(set(SCOPES) - {scope})))
    body = TEXT if method == "POST" else None
    assert running.request(method, path, json=body, headers=good).status_code == others
    refused = running.request(method, path, json=body, headers=lacking)
    assert refused.status_code == 403
    assert refused.headers["WWW-Authenticate"].endswith(f'error="insufficient_scope", scope="{scope}"')
    assert f"needs the scope {scope}" in refused.json()["detail"]


def test_requests_of_another_key_are_not_there(running: Running) -> None:
    mine, others = (bearer(running.store.keys.made(*SCOPES)) for _ in range(2))
    identity = running.post("/predict", json=TEXT, headers=mine).json()["request_id"]
    running.store.answer(identity)
    for method, path in (
        *(("GET", f"/{path}/{identity}") for path in ("predict", "status", "result", "v1/requests")),
        *(("GET", f"/v1/requests/{identity}/{path}") for path in ("events", "webhook")),
        *(("DELETE", f"/{path}/{identity}") for path in ("status", "v1/requests")),
        ("POST", f"/v1/requests/{identity}/webhook"),
    ):
        assert running.request(method, path, headers=others).status_code == 404, path
    assert running.get("/v1/requests", headers=others).json()["requests"] == []
    again = running.post("/predict", json={**TEXT, "request_id": identity}, headers=others)
    assert again.status_code == 422, "nor is its id to be had"
    assert running.get(f"/predict/{identity}", headers=mine).json()["label"] == "POSITIVE"


def test_a_key_that_is_not_asked_for_says_nothing() -> None:
    running = Running(auth="off")
    assert running.post("/predict", json=TEXT, headers=bearer("of the proxy's")).status_code == 202
    assert running.store.rows.popitem()[1].owner == "-"


def test_a_store_that_is_away_is_no_reason_to_call_a_key_wrong(running: Running) -> None:
    key = bearer(running.store.keys.made(*SCOPES))
    running.store.is_away = True
    answer = running.post("/v1/requests", json={"model": "sentiment", **TEXT}, headers=key)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert answer.json()["title"] == "Service Unavailable"


def test_a_key_is_looked_for_seldom_and_a_revoked_one_ends_within_half_a_minute() -> None:
    keys, clock = FakeStore().keys, FakeClock()
    text = keys.made("read")
    identity = text.split("_")[1]

    async def check() -> None:
        with ThreadPoolExecutor(1) as executor:
            chain = Keychain(keys.find, executor=executor, clock=clock)
            found = await asyncio.gather(*(chain.check(text) for _ in range(3)))
            assert [key and key.id for key in found] == [identity] * 3
            asked = len(keys.asked)
            assert await chain.check(altered(text)) is None
            keys.revoke(identity, 2.0)
            clock.advance(REMEMBERED_S - 1)
            assert await chain.check(text) is not None
            assert len(keys.asked) == asked
            clock.advance(2)
            assert await chain.check(text) is None
            assert len(keys.asked) == asked + 1

    asyncio.run(check())


def test_wrong_keys_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keychain, "_MOST", 3)
    keys = FakeStore().keys
    text = keys.made("read")

    async def check() -> None:
        with ThreadPoolExecutor(1) as executor:
            chain = Keychain(keys.find, executor=executor)
            for _ in range(2):
                assert await chain.check(text) is not None
                for _ in range(5):
                    assert await chain.check(make_key()[0]) is None

    asyncio.run(check())
    assert keys.asked.count(text.split("_")[1]) == 2, "it was forgotten over the others"


def test_a_keys_rate_is_its_own(running: Running) -> None:
    slow, other = running.store.keys.made("read", rate="2/day"), running.store.keys.made("read")
    statuses = [running.get("/v1/models", headers=bearer(slow)).status_code for _ in range(4)]
    assert statuses == [200, 200, 429, 429]
    assert running.get("/v1/models", headers=bearer(other)).status_code == 200
    refused = running.get("/v1/models", headers=bearer(slow))
    assert 1 <= int(refused.headers["Retry-After"]) <= 2 * 86_400
    assert "more than 2 requests in 86400 s" in refused.json()["detail"]
    assert running.get("/health", headers=bearer(slow)).status_code == 200


def test_without_keys_an_address_has_a_rate() -> None:
    running = Running(rate_limit="2/day")
    assert [running.post("/predict", json=TEXT).status_code for _ in range(3)] == [202, 202, 429]
    assert len(running.asker.asked) == 2


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("testclient", "testclient", True),
    ],
)
def test_an_ipv6_client_is_known_by_its_network(one: str, other: str, *, is_same: bool) -> None:
    known = [access.address_of({"type": "http", "client": (host, 1)}) for host in (one, other)]
    assert (known[0] == known[1]) is is_same


def test_each_line_of_a_batch_counts(running: Running) -> None:
    key = bearer(running.store.keys.made("submit", rate="5/day"))
    line = '{"model": "sentiment", "text": "fine"}\n'
    first = running.post("/v1/batches", content=line * 3, headers=key)
    assert (first.status_code, len(running.asker.asked)) == (200, 3)
    assert running.post("/v1/batches", content=line * 3, headers=key).status_code == 429
    assert len(running.asker.asked) == 3
    fresh = bearer(running.store.keys.made("submit", rate="5/day"))
    never = running.post("/v1/batches", content=line * 7, headers=fresh)
    assert never.status_code == 422
    assert "send fewer at a time" in never.json()["detail"]


def test_a_key_is_known_again_and_shows_nothing_of_itself() -> None:
    text, made = make_key()
    assert re.fullmatch(r"vx_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", text)
    assert read_key(text) == made
    assert read_key(altered(text)) != made
    assert make_key()[1].hash != made.hash
    assert text.split("_", 2)[2] not in made.hash


def test_the_api_says_how_a_key_is_sent(running: Running) -> None:
    described = running.get("/openapi.json").json()
    assert running.get("/openapi.json").json() == described
    assert described["paths"]["/predict"]["post"]["security"] == [{"HTTPBearer": []}, {"APIKeyHeader": []}]
    assert {"401", "403", "429"} <= described["paths"]["/v1/requests"]["post"]["responses"].keys()
    assert "security" not in described["paths"]["/health"]["get"]
