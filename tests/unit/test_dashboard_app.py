"""What the dashboard answers, to whom, and what a stranger's words can do to it."""

from dataclasses import replace
from pathlib import Path

import pytest
from httpx2 import AsyncClient, Response

from tests.dashboards import FakeLetters, ask, dashboard, without_store
from tests.results import make_result
from velox.dashboard.app import VIEWS
from velox.dashboard.feed import addresses
from velox.errors import SettingsError
from velox.tools.dlq.choice import Choice

JPEG = b"\xff\xd8\xff\xe0 a picture"
CHANGING = {"X-Velox-Dashboard": "1"}
TOKEN = "a long token"  # noqa: S105 - made up
HTML = "<script>alert(1)</script>"


def get(folder: Path, path: str, host: str = "http://localhost:8088", **headers: str) -> Response:
    async def asked(client: AsyncClient) -> Response:
        return await client.get(path, headers=headers)

    return ask(dashboard(folder, [make_result(number) for number in range(3)]), asked, host=host)


def test_every_view_is_one_page_without_inline_script(tmp_path: Path) -> None:
    async def asked(client: AsyncClient) -> list[Response]:
        return [await client.get(path.replace("{id:path}", "image_data-0-1")) for path in VIEWS]

    for answer in ask(dashboard(tmp_path), asked):
        assert answer.status_code == 200
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.text.count("<script") == 1
        assert "<style" not in answer.text
        assert "http://" not in answer.text
        assert "https://" not in answer.text


def test_what_the_page_needs_comes_with_it(tmp_path: Path) -> None:
    static = Path(__file__).parents[2] / "velox" / "dashboard" / "static"
    names = sorted(path.name for path in static.iterdir())
    assert {"index.html", "app.css", "app.js", "live.js"} <= set(names)

    async def asked(client: AsyncClient) -> list[Response]:
        return [await client.get(f"/static/{name}") for name in names]

    for name, answer in zip(names, ask(dashboard(tmp_path), asked), strict=True):
        assert (answer.status_code, len(answer.text.splitlines()) <= 300) == (200, True), name
        assert "innerHTML" not in answer.text, f"{name}: text only"


def test_health_is_open_and_says_what_it_is(tmp_path: Path) -> None:
    assert get(tmp_path, "/api/health").json()["status"] == "healthy"


def test_records_come_a_page_at_a_time(tmp_path: Path) -> None:
    first = get(tmp_path, "/api/records?limit=2&label=red_circle").json()
    assert len(first["rows"]) == 2
    rest = get(tmp_path, f"/api/records?limit=2&after={first['next']}").json()
    assert (len(rest["rows"]), rest["next"]) == (1, None)
    assert get(tmp_path, "/api/summary").json()["labels"] == {"red_circle": 3}


def test_nonsense_in_a_filter_narrows_nothing(tmp_path: Path) -> None:
    assert len(get(tmp_path, "/api/records?least=x&since=nan&limit=-5&after=%00&verdict=y").json()["rows"]) == 1


def test_a_record_has_a_page_and_names_its_neighbours(tmp_path: Path) -> None:
    found = get(tmp_path, "/api/records/image_data-1-1").json()
    assert (found["label"], found["partition"], found["offset"]) == ("red_circle", 1, 1)
    assert {found["newer"], found["older"]} == {"image_data-2-2", "image_data-0-0"}
    assert "file_path" not in found["more"]
    assert get(tmp_path, "/api/records/none").status_code == 404


def test_an_image_is_read_from_the_folder_of_detections_and_kept_by_the_browser(tmp_path: Path) -> None:
    (tmp_path / "discoveries").mkdir()
    stored = make_result(1)
    path = tmp_path / "discoveries" / "hit_image_data-1-1.jpg"
    path.write_bytes(JPEG)
    object.__setattr__(stored, "file_path", str(path))

    async def asked(client: AsyncClient) -> tuple[Response, Response]:
        first = await client.get("/media/image_data-1-1")
        return first, await client.get("/media/image_data-1-1", headers={"If-None-Match": first.headers["etag"]})

    first, again = ask(dashboard(tmp_path, [stored]), asked)
    assert (first.content, first.headers["content-type"]) == (JPEG, "image/jpeg")
    assert first.headers["x-content-type-options"] == "nosniff"
    assert again.status_code == 304


def test_a_path_in_the_store_that_leads_elsewhere_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2")
    stored = make_result(1)
    object.__setattr__(stored, "file_path", str(tmp_path / "discoveries" / ".." / "secret"))

    async def asked(client: AsyncClient) -> Response:
        return await client.get("/media/image_data-1-1")

    answer = ask(dashboard(tmp_path, [stored]), asked)
    assert answer.status_code == 503  # it went on to Kafka, which is not there
    assert "hunter2" not in answer.text


def test_what_is_no_image_is_plain_text_to_a_browser(tmp_path: Path) -> None:
    (tmp_path / "discoveries").mkdir()
    stored = make_result(1)
    path = tmp_path / "discoveries" / "hit_image_data-1-1.jpg"
    path.write_text(HTML)
    object.__setattr__(stored, "file_path", str(path))

    async def asked(client: AsyncClient) -> Response:
        return await client.get("/media/image_data-1-1")

    assert ask(dashboard(tmp_path, [stored]), asked).headers["content-type"] == "text/plain; charset=utf-8"


def test_without_a_token_only_this_machine_is_answered(tmp_path: Path) -> None:
    assert get(tmp_path, "/api/records", host="http://evil.example").status_code == 421
    assert get(tmp_path, "/api/records", host="http://127.0.0.1:9").status_code == 200
    assert get(tmp_path, "/api/records", host="http://[::1]:9").status_code == 200


def test_an_address_that_others_reach_asks_for_a_token(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="DASHBOARD_TOKEN"):
        get_with(tmp_path, dashboard_host="0.0.0.0")  # noqa: S104 - what is refused
    assert get_with(tmp_path, dashboard_host="0.0.0.0", dashboard_token=TOKEN).status_code == 401  # noqa: S104


def get_with(folder: Path, **told: str) -> Response:
    async def asked(client: AsyncClient) -> Response:
        return await client.get("/api/records")

    return ask(dashboard(folder, (), **told), asked, host="http://velox.example")


def test_who_has_the_token_logs_in_and_others_are_sent_to_do_so(tmp_path: Path) -> None:
    async def asked(client: AsyncClient) -> list[Response]:
        answers = [await client.get("/gallery"), await client.get("/api/health")]
        answers.append(await client.post("/api/login", content="wrong", headers=CHANGING))
        answers.append(await client.get("/api/records", headers={"Authorization": f"Bearer {TOKEN}"}))
        answers.append(await client.post("/api/login", content=TOKEN, headers=CHANGING))
        answers.append(await client.get("/api/records"))
        return answers

    told = dashboard(tmp_path, dashboard_token=TOKEN)
    away, health, wrong, bearer, logged_in, seen = ask(told, asked, host="http://velox.example")
    assert (away.status_code, away.headers["location"]) == (303, "/login")
    assert [answer.status_code for answer in (health, wrong, bearer, logged_in, seen)] == [200, 401, 200, 204, 200]
    cookie = logged_in.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert TOKEN not in cookie


@pytest.mark.parametrize("headers", [{}, {**CHANGING, "Origin": "http://evil.example"}])
def test_a_page_from_elsewhere_changes_nothing(tmp_path: Path, headers: dict[str, str]) -> None:
    async def asked(client: AsyncClient) -> Response:
        return await client.post("/api/login", content=TOKEN, headers=headers)

    assert ask(dashboard(tmp_path, dashboard_token=TOKEN), asked).status_code == 403


def test_live_shows_the_newest_and_says_who_does_not_answer(tmp_path: Path) -> None:
    parts = dashboard(tmp_path, [make_result(number) for number in range(3)])
    parts.feed.take(parts.feed.look())
    parts.feed.take(parts.feed.look())

    async def asked(client: AsyncClient) -> tuple[Response, Response]:
        return await client.get("/api/live?after=0"), await client.get("/api/live?after=1")

    first, later = ask(parts, asked)
    assert [row["id"] for row in first.json()["rows"]] == ["image_data-2-2", "image_data-1-1", "image_data-0-0"]
    assert (len(first.json()["points"]), len(later.json()["points"])) == (2, 1)
    assert first.json()["verdict"]["says"] == "no inference process is ready"


def test_a_pipeline_without_a_store_says_what_to_do(tmp_path: Path) -> None:
    async def asked(client: AsyncClient) -> Response:
        return await client.get("/api/records")

    answer = ask(without_store(dashboard(tmp_path)), asked)
    assert (answer.status_code, "add one" in answer.json()["detail"]) == (422, True)


def test_consumers_are_asked_where_the_settings_say_else_on_this_machine() -> None:
    assert list(map(str, addresses(("one:8000", "[::1]:8001"), 9))) == ["one:8000", "[::1]:8001"]
    assert list(map(str, addresses((), 8000))) == ["127.0.0.1:8000"]


@pytest.mark.parametrize(
    ("said", "choice"),
    [
        ({"reason": "undecodable"}, Choice(reasons=frozenset({"undecodable"}))),
        ({"record": "image_data-1-2"}, Choice(records=frozenset({"image_data-1-2"}))),
        ({}, None),
        ({"reason": "", "record": ""}, None),
        ({"reason": "undecodable", "record": "image_data-1-2"}, None),
        ([], None),
    ],
)
def test_dead_letters_are_handled_only_when_it_is_said_which(
    tmp_path: Path, said: object, choice: Choice | None
) -> None:
    letters = FakeLetters()
    parts = replace(dashboard(tmp_path), letters=letters)

    async def asked(client: AsyncClient) -> Response:
        return await client.post("/api/letters/replay", json=said, headers=CHANGING)

    assert ask(parts, asked).status_code == (200 if choice else 422)
    assert letters.handled == ([("replay", choice)] if choice else [])


def test_nothing_else_is_done_with_dead_letters_and_nothing_by_looking(tmp_path: Path) -> None:
    letters = FakeLetters()
    parts = replace(dashboard(tmp_path), letters=letters)

    async def asked(client: AsyncClient) -> list[int]:
        said = {"reason": "undecodable"}
        answers = [await client.post("/api/letters/burn", json=said, headers=CHANGING)]
        answers.append(await client.post("/api/letters/discard", json=said))
        answers.append(await client.get("/api/letters/discard"))
        answers.append(await client.post("/api/letters/discard", content=b"x" * 20_000, headers=CHANGING))
        return [answer.status_code for answer in answers]

    assert ask(parts, asked) == [422, 403, 503, 422]
    assert letters.handled == []
