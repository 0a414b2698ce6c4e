"""``velox key``: who may ask the gateway, on the command line."""

from pathlib import Path

import pytest

from velox import cli
from velox.core.api_keys import read_key
from velox.core.rates import Rate
from velox.requests.rows import Key
from velox.requests.store import RequestStore


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    address = f"sqlite:///{tmp_path}/requests.db"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REQUESTS_URL", address)
    return address


def stored(url: str) -> list[Key]:
    store = RequestStore(url)
    store.open()
    try:
        return store.keys.all()
    finally:
        store.close()


def test_a_key_is_shown_once_and_only_its_hash_is_kept(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["key", "create", "shop", "--scopes", "read,admin", "--rate", "60/minute"]) == 0
    said = capsys.readouterr()
    text = said.out.removesuffix("\n")
    made = read_key(text)
    assert made is not None
    (key,) = stored(url)
    assert (key.id, key.hash, key.name, key.rate) == (*made, "shop", "60/minute")
    assert key.scopes == {"read", "admin"}
    assert made.id in said.err
    secret = text.split("_", 2)[2]
    assert all(secret.encode() not in file.read_bytes() for file in tmp_path.iterdir())
    assert cli.main(["key", "list"]) == 0
    listed = capsys.readouterr().out
    assert all(part in listed for part in (made.id, "read,admin", "60/minute", "good", "shop"))
    assert secret not in listed


def test_a_key_may_submit_and_read_if_nothing_else_is_said(url: str) -> None:
    assert cli.main(["key", "create", "shop"]) == 0
    assert stored(url)[0].scopes == {"submit", "read"}


def test_a_key_is_revoked_by_its_id(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["key", "create", "shop\nall is well"]) == 0
    identity = stored(url)[0].id
    assert cli.main(["key", "revoke", identity]) == 0
    assert cli.main(["key", "revoke", identity]) == 0
    assert cli.main(["key", "revoke", "nobody"]) == 1
    assert cli.main(["key", "list"]) == 0
    said = capsys.readouterr().out
    assert f"{identity}: revoked; gateways notice within 30 seconds" in said
    assert f"{identity}: was revoked before" in said
    assert "nobody: no such key at REQUESTS_URL" in said
    assert "shop\\nall is well" in said, "a name makes no line of its own"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            ["--scopes", "read,write"],
            "velox key: --scopes read,write: no scope 'write'; there are submit, read, admin\n",
        ),
        (["--scopes", ""], "velox key: --scopes : no scope ''; there are submit, read, admin\n"),
        (["--rate", "60"], "velox key: --rate: '60' is no rate: write 60/minute, or another number "),
    ],
)
def test_a_key_that_cannot_be_right_is_not_made(
    options: list[str], told: str, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["key", "create", "shop", *options]) == 2
    assert capsys.readouterr().err.startswith(told)
    assert stored(url) == []


@pytest.mark.parametrize(
    ("text", "rate"), [("1/second", (1, 1)), ("60/minute", (60, 60)), ("5/hour", (5, 3600)), ("7/day", (7, 86_400))]
)
def test_a_rate_is_read(text: str, rate: tuple[int, int]) -> None:
    assert Rate.parse(text) == rate


@pytest.mark.parametrize(
    "text", ["", "0/minute", "-1/day", "60", "60 / minute", "60/minutes", "1e3/day", "٣/day", "9" * 10 + "/day"]
)
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no rate: write 60/minute"):
        Rate.parse(text)
