"""The wall sends what is new of what is seen, and changes cameras when it is told to."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from httpx2 import AsyncClient, Response

from tests.dashboards import FakeCameras, FakeTopic, ask, dashboard
from tests.results import make_result
from velox.core.cameras import State
from velox.dashboard.wall import MOST_CAMERAS, Wall
from velox.records import Pointer, Result
from velox.tools.cameras.figures import Row

CHANGING = {"X-Velox-Dashboard": "1"}


def taken_apart(message: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    length = int.from_bytes(message[:4], "big")
    head = json.loads(message[4 : 4 + length])
    at, pictures = 4 + length, {}
    for camera in head["cameras"]:
        if camera["bytes"]:
            pictures[camera["id"]] = message[at : at + camera["bytes"]]
            at += camera["bytes"]
    assert at == len(message)
    return head, pictures


def wall(count: int = 3) -> Wall:
    made = Wall(FakeTopic, [], [])
    made._rows = [
        Row(camera=f"camera_{n}", state=State.LIVE, dropped_per_s={"stale": 0.5}) for n in range(1, count + 1)
    ]
    return made


def test_a_tick_holds_the_pictures_that_are_new_and_seen() -> None:
    looked_at = wall()
    for number in (1, 2, 3):
        looked_at.came(f"camera_{number}", b"first %d" % number)
    head, pictures = taken_apart(looked_at.message(0, None))
    assert pictures == {"camera_1": b"first 1", "camera_2": b"first 2", "camera_3": b"first 3"}
    looked_at.came("camera_2", b"second")
    looked_at.came("camera_3", b"second too")
    later, pictures = taken_apart(looked_at.message(head["number"], ["camera_1", "camera_2"]))
    assert pictures == {"camera_2": b"second"}
    assert taken_apart(looked_at.message(later["number"], None))[1] == {}
    assert later["cameras"][0]["dropped"] == {"stale": 0.5}


def test_more_cameras_than_a_wall_has_room_for_are_counted() -> None:
    head, _ = taken_apart(wall(MOST_CAMERAS + 7).message(0, None))
    assert (len(head["cameras"]), head["others"]) == (MOST_CAMERAS, 7)


@pytest.mark.parametrize(("identity", "jpeg"), [("../x", b"x"), ("", b"x"), ("camera_1", b"x" * 300_000)])
def test_a_picture_that_nobody_can_have_meant_is_left_out(identity: str, jpeg: bytes) -> None:
    looked_at = wall()
    looked_at.came(identity, jpeg)
    assert taken_apart(looked_at.message(0, None))[1] == {}


def test_one_camera_is_shown_large_and_an_id_that_is_none_is_refused(tmp_path: Path) -> None:
    async def asked(client: AsyncClient) -> list[Response]:
        return [await client.get(f"/api/cameras/{name}/frame") for name in ("camera_1", "camera_2", "-x")]

    answers = ask(dashboard(tmp_path), asked)
    assert [answer.status_code for answer in answers] == [200, 404, 422]
    assert answers[0].headers["content-type"] == "image/jpeg"


def test_cameras_are_changed_by_who_means_it(tmp_path: Path) -> None:
    cameras = FakeCameras()
    parts = replace(dashboard(tmp_path), cameras=cameras)

    async def asked(client: AsyncClient) -> list[int]:
        said = {"id": "camera_1"}
        answers = [await client.post("/api/cameras/pause", json=said)]
        answers.append(await client.post("/api/cameras/burn", json=said, headers=CHANGING))
        answers.append(await client.post("/api/cameras/pause", json=said, headers=CHANGING))
        return [answer.status_code for answer in answers]

    assert ask(parts, asked) == [403, 422, 200]
    assert cameras.changes == [("pause", {"id": "camera_1"})]


def test_a_camera_shows_the_label_of_its_newest_result(tmp_path: Path) -> None:
    stored = [replace(of_camera(number), is_detection=number < 5) for number in range(6)]
    results = dashboard(tmp_path, stored).results
    assert results is not None
    looked_at = Wall(FakeTopic, [], [], results=results)
    looked_at.look()
    looked_at._rows = [Row(camera="camera_1", state=State.LIVE, dropped_per_s={}, label="seen most")]
    assert taken_apart(looked_at.message(0, None))[0]["cameras"][0]["label"] == "label 5"


def of_camera(number: int) -> Result:
    made = make_result(number, label=f"label {number}", produced_at=1000.0 + number)
    return replace(made, record=replace(made.record, pointer=Pointer(key="x.jpg", taken_at=1.0, camera="camera_1")))
