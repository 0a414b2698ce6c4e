"""A destination of webhooks can be given a secret of its own: by the API, and on the command line."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateways import Running
from velox import cli
from velox.core.signing_keys import check_signing_key, make_signing_key
from velox.requests.rows import NOBODY, Secret
from velox.requests.store import RequestStore

ORIGIN = "https://hooks.example.com"
PATH = "/v1/webhooks/secrets"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RequestStore]:
    url = f"sqlite:///{tmp_path}/requests.db"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REQUESTS_URL", url)
    made = RequestStore(url)
    made.open()
    yield made
    made.close()


@pytest.fixture
def running(store: RequestStore) -> Running:
    """A gateway in memory, but for the secrets."""
    made = Running()
    made.store.secrets = store.secrets
    return made


def only(store: RequestStore) -> Secret:
    (found,) = store.secrets.all()
    return found


def test_the_api_makes_a_secret_and_shows_it_this_once(running: Running, store: RequestStore) -> None:
    answer = running.request("PUT", PATH, json={"destination": f"{ORIGIN}/path"})
    assert answer.status_code == 200
    body = answer.json()
    check_signing_key(body["secret"])
    assert (body["destination"], body["before_until"]) == (ORIGIN, None)
    assert (only(store).secret, only(store).owner) == (body["secret"], NOBODY)
    listed = running.get(PATH)
    assert listed.json() == {"secrets": [{name: body[name] for name in ("destination", "changed_at", "before_until")}]}
    assert body["secret"] not in listed.text


def test_the_api_takes_a_secret_and_says_until_when_the_one_before_signs(running: Running, store: RequestStore) -> None:
    first, second = make_signing_key(), make_signing_key()
    assert running.request("PUT", PATH, json={"destination": ORIGIN, "secret": first}).json()["secret"] == first
    changed = running.request("PUT", PATH, json={"destination": ORIGIN, "secret": second, "keep_s": 3600}).json()
    assert changed["before_until"] is not None
    assert (only(store).secret, only(store).before) == (second, first)


@pytest.mark.parametrize(
    "body",
    [
        {"destination": "ftp://hooks.example.com"},
        {"destination": "https://user@hooks.example.com"},
        {"destination": ORIGIN, "secret": ""},
        {"destination": ORIGIN, "secret": "whsec_short"},
        {"destination": ORIGIN, "keep_s": -1},
        {},
    ],
)
def test_what_cannot_be_is_refused_without_showing_the_secret(
    running: Running, store: RequestStore, body: dict[str, object]
) -> None:
    answer = running.request("PUT", PATH, json=body)
    assert answer.status_code == 422
    assert "whsec_short" not in answer.json()["detail"]
    assert store.secrets.all() == []


def test_the_api_removes_a_secret_and_says_where_there_is_none(running: Running, store: RequestStore) -> None:
    running.request("PUT", PATH, json={"destination": ORIGIN})
    assert running.request("DELETE", f"{PATH}?destination={ORIGIN}").status_code == 204
    assert store.secrets.all() == []
    assert running.request("DELETE", f"{PATH}?destination={ORIGIN}").status_code == 404
    assert running.request("DELETE", f"{PATH}?destination=nothing").status_code == 422


def test_the_command_makes_changes_lists_and_removes_a_secret(
    store: RequestStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["webhooks", "secret", "new", f"{ORIGIN}/path"]) == 0
    first = capsys.readouterr().out.strip()
    assert only(store).secret == first
    assert cli.main(["webhooks", "secret", "new", ORIGIN]) == 0
    said = capsys.readouterr()
    assert "the one before signs for 86400 s more" in said.err
    assert (only(store).secret, only(store).before) == (said.out.strip(), first)
    assert cli.main(["webhooks", "secret", "list"]) == 0
    listed = capsys.readouterr().out
    assert listed.startswith(f"{ORIGIN}  all  2")
    assert "whsec_" not in listed
    assert cli.main(["webhooks", "secret", "remove", ORIGIN]) == 0
    assert cli.main(["webhooks", "secret", "remove", ORIGIN]) == 1
    assert store.secrets.all() == []


def test_the_command_takes_a_secret_from_its_input_for_one_key_alone(
    store: RequestStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = make_signing_key()
    monkeypatch.setattr("sys.stdin", io.StringIO(given + "\n"))
    assert cli.main(["webhooks", "secret", "new", ORIGIN, "--stdin", "--key", "0f3a5c7e9b1d"]) == 0
    assert (only(store).secret, only(store).owner) == (given, "0f3a5c7e9b1d")
    said = capsys.readouterr()
    assert given not in said.out + said.err
    cli.main(["webhooks", "secret", "list"])
    assert f"{ORIGIN}  key 0f3a5c7e9b1d  2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "url", "complaint"),
    [
        ("\n", ORIGIN, "the secret has to be whsec_"),
        ("secret\n", ORIGIN, "has to be"),
        ("", "hooks", "begin with https"),
    ],
)
def test_the_command_refuses_what_cannot_be(
    store: RequestStore,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    given: str,
    url: str,
    complaint: str,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(given))
    assert cli.main(["webhooks", "secret", "new", url, "--stdin"]) == 2
    assert complaint in capsys.readouterr().err
    assert store.secrets.all() == []
