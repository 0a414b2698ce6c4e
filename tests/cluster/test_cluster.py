"""Two models on a real Ray look at every frame, whatever dies: each result is there once, and nothing is lost."""

import json
import signal
from collections import Counter

import numpy as np
import psutil
import pytest

from tests.cluster.conftest import START_S, Cluster, eventually, picture
from tests.e2e.pipeline import wait_until
from velox.sources.jpeg import encode


def keys(prefix: str, count: int) -> dict[str, bytes]:
    return {f"frames/camera_1/{prefix}_{number}.jpg": picture(number) for number in range(count)}


def settled(cluster: Cluster) -> None:
    eventually(lambda: cluster.pipeline.uncommitted() == 0, cluster, "all committed")


def test_every_frame_has_a_result_of_each_model_and_what_cannot_be_read_is_a_dead_letter(cluster: Cluster) -> None:
    frames = keys("frame", 200)
    cluster.put(frames)
    cluster.put({"frames/camera_1/torn.jpg": b"no image"})
    before = len(cluster.rows("id"))
    cluster.publish(*frames, "frames/camera_1/torn.jpg", "frames/camera_1/missing.jpg", "../elsewhere.jpg")
    cluster.wait_for_rows(before + 400)
    settled(cluster)
    rows = cluster.rows()
    assert Counter(row["model"] for row in rows) == {"classifier1": 200, "classifier2": 200}
    assert {row["id"].rpartition("/")[2] for row in rows} == {"classifier1", "classifier2"}
    shown = Counter((row["model"], row["predicted_label"]) for row in rows)
    assert shown["classifier1", "red_circle"] + shown["classifier1", "green_square"] == 200
    assert shown["classifier2", "bright"] + shown["classifier2", "dark"] == 200
    assert all(json.loads(row["boxes"]) for row in rows if row["model"] == "classifier2")
    assert cluster.reasons() == {
        "frames/camera_1/torn.jpg": "not_an_image",
        "frames/camera_1/missing.jpg": "object_missing",
        "../elsewhere.jpg": "forbidden_pointer",
    }


def test_one_frame_can_be_asked_about_over_http(cluster: Cluster) -> None:
    path = "frames/camera_7/frame_1764252202.123456.jpg"
    cluster.put({path: picture(0)})
    status, said = cluster.ask(json.dumps({"img_path": path}).encode())
    assert status == 200
    assert (said["img_path"], said["camera_id"], said["errors"]) == (path, "camera_7", {})
    assert said["age_ms"] > 0
    assert said["results"]["classifier1"]["label"] == "red_circle"
    assert set(said["results"]["classifier1"]) == {"label", "confidence", "model_version"}
    assert said["results"]["classifier2"]["boxes"][0]["label"] == "middle"


def test_what_cannot_be_asked_is_refused_by_its_status(cluster: Cluster) -> None:
    cluster.put({"frames/camera_7/torn.jpg": b"no image"})
    asked = {
        b'{"img_path": "frames/camera_7/gone.jpg"}': 404,
        b'{"img_path": "../../etc/passwd"}': 422,
        b"no JSON": 422,
        b"{}": 422,
    }
    assert {body: cluster.ask(body)[0] for body in asked} == asked
    status, said = cluster.ask(b'{"img_path": "frames/camera_7/torn.jpg"}')
    assert (status, said["results"], set(said["errors"])) == (200, {}, {"classifier1", "classifier2"})
    assert cluster.ask(b"", method="PUT")[0] == 405
    assert cluster.ask(b"{}", path="/other")[0] == 404


def test_a_replica_that_is_killed_costs_no_record(cluster: Cluster) -> None:
    frames = keys("killed", 200)
    cluster.put(frames)
    before, letters = len(cluster.rows("id")), cluster.reasons()
    first, second = list(frames)[:60], list(frames)[60:]
    cluster.publish(*first)
    cluster.wait_for_rows(before + 10)
    (replica,) = cluster.replicas("classifier1")
    cluster.publish(*second)
    replica.send_signal(signal.SIGKILL)
    cluster.wait_for_rows(before + 400)
    settled(cluster)
    ids = [row["id"] for row in cluster.rows("id")]
    assert len(ids) == len(set(ids)) == before + 400
    assert cluster.reasons() == letters
    (fresh,) = cluster.replicas("classifier1")
    assert fresh.pid != replica.pid


def test_the_frame_that_kills_a_model_is_found_and_costs_only_itself(cluster: Cluster) -> None:
    frames = keys("beside", 20)
    white = {"frames/camera_1/white.jpg": white_picture()}
    cluster.put(frames | white)
    before, letters = len(cluster.rows("id")), cluster.reasons()
    names = list(frames)
    cluster.publish(*names[:10], *white, *names[10:])
    eventually(lambda: cluster.reasons() != letters, cluster, "a dead letter")
    cluster.wait_for_rows(before + 40)
    settled(cluster)
    assert cluster.reasons() == letters | dict.fromkeys(white, "killed_inference")
    assert len(cluster.rows("id")) == before + 40


@pytest.mark.timeout(600)
def test_the_frame_that_a_model_hangs_at_is_found_as_well(cluster: Cluster) -> None:
    frames = keys("hung", 10)
    black = {"frames/camera_1/black.jpg": encode(np.zeros((360, 640, 3), np.uint8))}
    cluster.put(frames | black)
    before, letters = len(cluster.rows("id")), cluster.reasons()
    cluster.publish(*frames, *black)
    wait_until(lambda: cluster.reasons() != letters, what=lambda: cluster.output, timeout_s=3 * START_S)
    cluster.wait_for_rows(before + 20)
    settled(cluster)
    assert cluster.reasons() == letters | dict.fromkeys(black, "killed_inference")


def test_a_consumer_that_is_killed_is_started_again_and_goes_on(cluster: Cluster) -> None:
    frames = keys("again", 40)
    cluster.put(frames)
    before = len(cluster.rows("id"))
    (consumer,) = cluster.consumers()
    consumer.send_signal(signal.SIGKILL)
    cluster.publish(*frames)
    cluster.wait_for_rows(before + 80)
    settled(cluster)
    ids = [row["id"] for row in cluster.rows("id")]
    assert len(ids) == len(set(ids)) == before + 80


def test_it_drains_and_takes_everything_down(cluster: Cluster) -> None:
    frames = keys("last", 40)
    cluster.put(frames)
    before = len(cluster.rows("id"))
    cluster.publish(*frames)
    cluster.wait_for_rows(before + 2)
    family = psutil.Process(cluster.process.pid).children(recursive=True)
    assert cluster.stop() == 0, cluster.output
    stored = (len(cluster.rows("id")) - before) // 2
    assert cluster.pipeline.uncommitted() == 40 - stored
    assert not any(process.is_running() for process in family)


def white_picture() -> bytes:
    return encode(np.full((360, 640, 3), 255, np.uint8))
