"""Cameras: how they are described, judged, kept apart, and what becomes of their frames."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.fakes import FakeBucket, FakeClock
from velox.cameras import config
from velox.cameras.control import Control, change
from velox.cameras.group import Group
from velox.cameras.health import Health
from velox.cameras.main import Shard
from velox.cameras.picture import Picture, View, Wait
from velox.cameras.pixels import Pixels
from velox.cameras.slot import Frame, Slot
from velox.cameras.store import FrameStore, Limits
from velox.cameras.synthetic import SyntheticView
from velox.core.cameras import Camera, Cause, Policy, State, path_of, policy, size, taken_at
from velox.core.deadline import Deadline
from velox.core.pointers import read_described
from velox.core.subscription import subscription
from velox.errors import BucketUnavailableError, SettingsError, SourceError
from velox.images.decoding import decode
from velox.images.limits import Limits as ImageLimits
from velox.kafka.publisher import Acknowledged
from velox.metrics.cameras import CameraMetrics
from velox.records import Headers, Partition, Pointer
from velox.settings import Settings

TOLD = Settings(camera_thumbs_s=0)


def noisy(seed: int = 0) -> Pixels:
    return Pixels.from_bgr(np.random.default_rng(seed).integers(0, 255, (48, 64, 3), np.uint8))


def flat(value: int) -> Pixels:
    return Pixels.from_bgr(np.full((48, 64, 3), value, np.uint8))


def test_a_file_of_cameras_is_read_with_what_holds_for_all(tmp_path: Path) -> None:
    path = tmp_path / "cameras.yaml"
    path.write_text(
        "defaults: {fps: 5, size: 640x360}\n"
        "cameras:\n"
        "  - {id: camera_1, url: 'rtsp://me:secret@gate/1', policy: all}\n"
        "  - {id: camera_2, url: 'synthetic:', fps: 2.5, policy: sample(2), paused: true}\n"
    )
    first, second = config.load(path).values()
    assert first == Camera(
        id="camera_1",
        url="rtsp://me:secret@gate/1",
        fps=5,
        width=640,
        height=360,
        policy=Policy(keeps_all=True),
    )
    assert first.shown_url == "rtsp://***@gate/1"
    assert (second.fps, second.policy, second.is_paused) == (2.5, Policy(most_per_s=2), True)
    assert [config.camera(config.written(one)) for one in (first, second)] == [first, second]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("cameras: 5", "no list of cameras"),
        ("cameras: [5]", "camera 1 of the list"),
        ("cameras: [{url: 'synthetic:'}]", "camera id None"),
        ("cameras: [{id: a/b, url: 'synthetic:'}]", "camera id 'a/b'"),
        ("cameras: [{id: a}]", "a: url None"),
        ("cameras: [{id: a, url: 'ftp://me:secret@x/y'}]", r"a: url 'ftp://\*\*\*@x/y'"),
        ("cameras: [{id: a, url: 'synthetic:', fps: -1}]", "a: fps -1"),
        ("cameras: [{id: a, url: 'synthetic:', size: 3x3}]", "a: size '3x3'"),
        ("cameras: [{id: a, url: 'synthetic:', policy: newest}]", "a: policy 'newest': write latest, all, or sample"),
        ("cameras: [{id: a, url: 'synthetic:', paused: 3}]", "a: paused 3"),
        ("cameras: [{id: a, url: 'synthetic:', colour: red}]", "a: unknown: colour"),
        ("cameras: [{id: a, url: 'synthetic:'}, {id: a, url: 'synthetic:'}]", "a is there twice"),
        ("cameras: []\nmore: 1", "unknown: more"),
        ("defaults: 3\ncameras: []", "defaults are names and values"),
        ("cameras: [", "cannot be read"),
        ("cameras: [{id: 'a_{3..1}', url: 'synthetic:'}]", "camera id 'a_{3..1}'"),
    ],
)
def test_what_is_wrong_in_the_file_is_said_with_its_place_and_without_passwords(
    tmp_path: Path, text: str, complaint: str
) -> None:
    path = tmp_path / "cameras.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=complaint) as error:
        config.load(path)
    assert "secret" not in str(error.value)
    assert str(path) in str(error.value)


def test_a_file_that_is_not_there_names_the_command_that_writes_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="velox cameras init"):
        config.load(tmp_path / "cameras.yaml")


def test_a_file_is_written_for_its_owner_alone_and_never_over_another(tmp_path: Path) -> None:
    path = tmp_path / "cameras.yaml"
    entry = {"id": "camera_{1..3}", "url": "rtsp://me:secret@gate/{n}", "fps": 2}
    config.save(path, [entry])
    assert path.stat().st_mode & 0o777 == 0o600
    urls = {f"camera_{number}": f"rtsp://me:secret@gate/{number}" for number in (1, 2, 3)}
    assert {one.id: one.url for one in config.load(path).values()} == urls
    with pytest.raises(SettingsError, match="--force"):
        config.save(path, [entry])


def test_a_path_says_when_its_frame_was_taken() -> None:
    path = path_of("camera_7", 1764252202.1234564)
    assert path == "frames/camera_7/frame_1764252202.123456.jpg"
    assert taken_at(path) == 1764252202.123456
    assert taken_at("frames/camera1/frame_1764252202.jpg") == 1764252202
    assert taken_at("photos/red.jpg") is None


@pytest.mark.parametrize("text", ["0x0", "640", "641x360", "99999x360"])
def test_a_size_has_even_sides(text: str) -> None:
    with pytest.raises(SettingsError, match="size"):
        size(text)


def test_each_camera_is_in_one_shard() -> None:
    cameras = [Camera(id=name, url="") for name in ("camera_1", "camera_2", "gate", "camera_10", "7")]
    for camera in cameras:
        assert [Shard(number, 3).has(camera) for number in range(3)].count(True) == 1


class TestSlot:
    def frame(self, at: float) -> Frame:
        return Frame(int(at * 10), at, noisy())

    def test_the_newest_frame_takes_the_place_of_the_one_that_waits(self) -> None:
        slot = Slot(policy("latest"), 50)
        assert [slot.offer(self.frame(at)) for at in (1, 2, 3)] == [None, Cause.SUPERSEDED, Cause.SUPERSEDED]
        taken = slot.take()
        assert taken is not None
        assert taken.taken_at == 3
        assert slot.take() is None

    def test_all_frames_wait_until_the_queue_is_full_then_the_oldest_goes(self) -> None:
        slot = Slot(policy("all"), 2)
        assert [slot.offer(self.frame(at)) for at in (1, 2, 3)] == [None, None, Cause.QUEUE_FULL]
        assert [frame.taken_at for frame in iter(slot.take, None)] == [2, 3]

    def test_a_sample_is_so_many_a_second_exactly_however_the_frames_come(self) -> None:
        slot = Slot(policy("sample(2)"), 50)
        taken = 0
        for number in range(25 * 60):
            if slot.offer(self.frame(1000 + number / 25)) is None:
                taken += slot.take() is not None
        assert taken == 120


class TestHealth:
    def test_a_camera_that_works_is_live(self) -> None:
        clock = FakeClock()
        health = Health(clock=clock)
        for second in range(20):
            health.saw(noisy(second), float(second))
            clock.advance(1)
        assert health.state is State.LIVE

    def test_the_same_picture_for_five_seconds_is_frozen_until_another_comes(self) -> None:
        clock = FakeClock()
        health = Health(clock=clock)
        for _ in range(7):
            health.saw(noisy(1), None)
            clock.advance(1)
        assert str(health.state) == "frozen"
        health.saw(noisy(2), None)
        assert str(health.state) == "live"

    def test_a_dark_picture_is_black_and_a_white_wall_is_not(self) -> None:
        health = Health(clock=FakeClock())
        health.saw(flat(2), None)
        assert health.state is State.BLACK
        health = Health(clock=FakeClock())
        health.saw(flat(250), None)
        assert health.state is State.LIVE

    def test_a_stream_that_falls_behind_its_own_clock_is_late_until_it_is_connected_anew(self) -> None:
        clock = FakeClock()
        health = Health(clock=clock)
        for second in range(10):
            health.saw(noisy(second), second * 0.5)  # half as fast as it was filmed
            clock.advance(1)
        assert str(health.state) == "late"
        health.began_anew()
        assert str(health.state) == "live"


class TestPixels:
    def test_a_jpeg_has_the_colours_that_were_drawn(self) -> None:
        image = np.full((48, 64, 3), (30, 60, 200), np.uint8)
        pixels = decode(Pixels.from_bgr(image).jpeg(90), ImageLimits(10**6, 10**4)).pixels
        assert np.abs(pixels.astype(int) - (200, 60, 30)).max() <= 6

    def test_a_thumb_is_small_and_keeps_the_shape_of_the_picture(self) -> None:
        image = np.full((360, 640, 3), (30, 60, 200), np.uint8)
        thumb = Pixels.from_bgr(image).thumb()
        assert decode(thumb, ImageLimits(10**6, 10**4)).pixels.shape == (108, 192, 3)
        assert len(thumb) < 4000

    def test_light_is_measured_as_eyes_see_it(self) -> None:
        mean, deviation = flat(128).light()
        assert abs(mean - 128) < 3
        assert deviation < 1
        assert noisy().light()[1] > 20


def test_a_synthetic_camera_shows_the_shape_that_it_says_and_no_two_frames_are_the_same() -> None:
    view = SyntheticView(Camera(id="camera_3", url="synthetic:", width=128, height=96), Settings())
    pictures = [view.at(1000 + tick / 5) for tick in range(200)]
    assert len({picture.pixels.fingerprint() for picture in pictures}) == 200
    assert {picture.label for picture in pictures} == {
        (color, shape) for color in ("red", "green") for shape in ("circle", "square")
    }
    assert all(picture.pixels.size == (128, 96) for picture in pictures)


class FakeOut:
    """A publisher whose broker answers at the next poll, if it is there."""

    def __init__(self) -> None:
        self.is_up = True
        self.sent: list[tuple[str, bytes, dict[str, bytes]]] = []
        self._unanswered: list[tuple[str, Acknowledged | None]] = []

    @property
    def waiting(self) -> int:
        return len(self._unanswered)

    def publish(
        self,
        value: bytes,
        *,
        key: bytes | None,
        headers: Headers,
        is_stopping: Callable[[], bool] = lambda: False,
        acknowledged: Acknowledged | None = None,
        topic: str | None = None,
    ) -> bool:
        assert key is not None
        self.sent.append((topic or "", value, {name: content or b"" for name, content in headers}))
        self._unanswered.append((topic or "", acknowledged))
        return True

    def poll(self, timeout_s: float) -> None:
        if self.is_up:
            answered, self._unanswered = self._unanswered, []
            for topic, acknowledged in answered:
                if acknowledged:
                    acknowledged(Partition(topic, 0), 0)

    def frames(self, camera: str) -> list[bytes]:
        return [value for topic, value, _ in self.sent if topic == camera]


class FakeView:
    """Shows so many pictures as fast as they are taken, then waits, or is gone."""

    def __init__(self, count: int, *, then_gone: bool = False) -> None:
        self.undecodable = 0
        self._count = count
        self._then_gone = then_gone

    def pictures(self, wait: Wait) -> Iterator[Picture]:
        for number in range(self._count):
            self.undecodable = number // 10
            yield Picture(noisy(number))
            if wait(0.002):
                return
        if self._then_gone:
            msg = "the stream has ended"
            raise SourceError(msg)
        while not wait(0.05):
            pass


class Rig:
    """A group whose cameras, bucket and broker are the test's."""

    def __init__(self, views: Callable[[Camera], View] | None = None, *, told: Settings = TOLD) -> None:
        self.out = FakeOut()
        self.bucket = FakeBucket()
        self.metrics = CameraMetrics()
        self.group = Group(
            told,
            store=FrameStore(self.bucket, Limits(0, 0)),
            out=self.out,
            metrics=self.metrics,
            open_view=views or (lambda _camera: FakeView(40)),
            encoders=2,
        )
        self.group.start()

    def counted(self, camera: str) -> dict[str, int]:
        outcomes = ("decoded", "published", *(cause.value for cause in Cause))
        totals = {
            outcome: int(self.metrics.total("velox_camera_frames_total", camera=camera, outcome=outcome))
            for outcome in outcomes
        }
        return {outcome: total for outcome, total in totals.items() if total}

    def turn_until(self, condition: Callable[[], bool]) -> None:
        deadline = Deadline(20)
        while not condition():
            assert not deadline.has_passed(), "that never came"
            self.group.step()

    def close(self) -> None:
        self.group.close(Deadline(5))
        self.out.poll(0)


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.close()


def camera(number: int, rule: str = "latest") -> dict[str, Camera]:
    name = f"camera_{number}"
    return {name: Camera(id=name, url="synthetic:", policy=policy(rule))}


def test_a_frame_is_in_the_bucket_before_its_path_is_published_with_what_is_known_of_it(rig: Rig) -> None:
    rig.group.want(camera(7, "all"))
    rig.turn_until(lambda: rig.counted("camera_7").get("published") == 40)
    topic, value, headers = rig.out.sent[0]
    said = json.loads(value)
    assert topic == said["camera_id"] == "camera_7"
    assert said["name"] == said["path"].rpartition("/")[2]
    assert (said["width"], said["height"], said["sequence"]) == (64, 48, 0)
    assert headers["velox-id"].startswith(b"camera_7-0-")
    assert said["path"] in rig.bucket.objects
    pointer, metadata = read_described(value)
    assert pointer.key == said["path"]
    assert pointer.camera == "camera_7"
    assert metadata["timestamp"] == pytest.approx(time.time(), abs=30)
    assert len({sent[2]["velox-id"] for sent in rig.out.sent}) == 40


def test_the_path_alone_is_published_where_that_is_asked_for() -> None:
    rig = Rig(told=Settings(camera_thumbs_s=0, camera_message="path"))
    rig.group.want(camera(7, "all"))
    rig.turn_until(lambda: rig.counted("camera_7").get("published") == 40)
    rig.close()
    _, value, headers = rig.out.sent[0]
    assert value.decode() in rig.bucket.objects
    assert {"velox-object-size", "velox-object-sha256"} <= headers.keys()


def test_every_decoded_frame_is_published_or_dropped_for_a_cause_whatever_the_policy(rig: Rig) -> None:
    rig.group.want(camera(1) | camera(2, "all") | camera(3, "sample(5)"))
    rig.turn_until(lambda: all(rig.counted(f"camera_{n}").get("decoded") == 40 for n in (1, 2, 3)))
    rig.close()
    for number in (1, 2, 3):
        counted = rig.counted(f"camera_{number}")
        assert counted.pop("decoded") == sum(counted.values()) == 40, counted
    assert rig.counted("camera_3")["not_sampled"] > 30


def test_while_kafka_is_away_only_so_many_frames_wait_and_the_others_are_counted(rig: Rig) -> None:
    rig.out.is_up = False
    rig.group.want(camera(1) | camera(2, "all"))
    rig.turn_until(lambda: all(rig.counted(f"camera_{n}").get("decoded") == 40 for n in (1, 2)))
    rig.turn_until(lambda: rig.group.unready_because is not None)
    assert rig.out.waiting < 60
    rig.out.is_up = True
    rig.turn_until(lambda: rig.counted("camera_2").get("published") == 40)
    rig.close()
    counted = rig.counted("camera_1")
    assert counted.pop("decoded") == sum(counted.values()) == 40, counted


def test_what_the_broker_refuses_is_counted_for_its_camera(rig: Rig) -> None:
    rig.group.want(camera(1))
    rig.group.refused("camera_1")
    rig.group.refused("camera_thumbs")
    assert rig.counted("camera_1")["broker_unavailable"] == 1


def test_while_the_bucket_is_away_frames_are_dropped_and_it_is_found_again() -> None:
    rig = Rig(lambda _camera: FakeView(100_000))
    down = True

    def put(key: str, payload: bytes) -> Pointer:
        if down:
            msg = "gone"
            raise BucketUnavailableError(msg)
        return FakeBucket.put(rig.bucket, key, payload)

    rig.bucket.put = put  # type: ignore[method-assign]  # a bucket that takes nothing for a while
    rig.bucket.problem = "gone"
    rig.group.want(camera(1))
    rig.turn_until(lambda: rig.counted("camera_1").get("bucket_unavailable", 0) > 3)
    assert rig.group.unready_because == "bucket photos takes no frames"
    down, rig.bucket.problem = False, ""
    rig.turn_until(lambda: rig.counted("camera_1").get("published", 0) > 0)
    rig.close()
    counted = rig.counted("camera_1")
    assert counted.pop("decoded") == sum(counted.values())


def test_a_camera_that_is_gone_is_offline_and_leaves_the_others_alone() -> None:
    def views(one: Camera) -> View:
        return FakeView(0, then_gone=True) if one.id == "camera_1" else FakeView(40)

    rig = Rig(views)
    rig.group.want(camera(1) | camera(2, "all"))
    rig.turn_until(lambda: rig.counted("camera_2").get("published") == 40)
    rig.turn_until(lambda: rig.group.states["camera_1"] is State.OFFLINE)
    assert rig.group.states["camera_2"] is State.LIVE
    rig.close()


def test_cameras_come_and_go_while_the_others_are_not_touched(rig: Rig) -> None:
    rig.group.want(camera(1) | camera(2))
    feeds = dict(rig.group._feeds)
    paused = {"camera_2": Camera(id="camera_2", url="synthetic:", is_paused=True)}
    rig.group.want(camera(1) | paused | camera(3, "all"))
    assert rig.group._feeds["camera_1"] is feeds["camera_1"]
    assert rig.group.states["camera_2"] is State.PAUSED
    rig.turn_until(lambda: rig.counted("camera_3").get("published") == 40)
    rig.group.want(camera(3, "all"))
    assert rig.group.states.keys() == {"camera_3"}


def test_garbage_is_counted_beside_the_frames(rig: Rig) -> None:
    rig.group.want(camera(1))
    rig.turn_until(
        lambda: rig.metrics.total("velox_camera_frames_total", camera="camera_1", outcome="undecodable") == 3
    )


class TestFrameStore:
    def test_the_oldest_frames_go_by_age_and_by_room(self) -> None:
        clock, bucket = FakeClock(), FakeBucket()
        store = FrameStore(bucket, Limits(60, 250), clock=clock)
        for age in (70, 65, 30, 20, 10):
            store.put("camera_1", clock.now_s - age, b"x" * 100)
        assert store.step() == 3
        assert [taken_at(key) for key in bucket.objects] == [980, 990]
        assert store.stored_bytes == 200
        assert store.step() == 0

    def test_frames_of_before_are_taken_over_and_those_of_others_left_alone(self) -> None:
        clock, bucket = FakeClock(), FakeBucket()
        for name, age in (("camera_1", 100), ("camera_2", 100), ("camera_1", 1)):
            bucket.put(path_of(name, clock.now_s - age), b"x")
        bucket.put("frames/camera_1/readme.txt", b"x")
        store = FrameStore(bucket, Limits(60, 0), clock=clock)
        store._is_ours = lambda identity: identity == "camera_1"
        store._find()
        assert store.step() == 1
        assert len(bucket.objects) == 3

    def test_what_could_not_be_deleted_is_not_forgotten(self) -> None:
        clock, bucket = FakeClock(), FakeBucket()

        def refuse(keys: Sequence[str]) -> None:
            msg = f"{len(keys)} stay"
            raise BucketUnavailableError(msg)

        store = FrameStore(bucket, Limits(60, 0), clock=clock)
        store.put("camera_1", 1, b"x" * 100)
        bucket.delete = refuse  # type: ignore[method-assign]  # a bucket that deletes nothing for a while
        with pytest.raises(BucketUnavailableError):
            store.step()
        assert store.stored_bytes == 100


class FakeFollower:
    def __init__(self, *changes: tuple[str, bytes | None]) -> None:
        self._changes = [*changes]

    def new(self, _timeout_s: float) -> "Iterator[FakeMessage]":
        found, self._changes = self._changes, []
        return iter([FakeMessage(key, value) for key, value in found])

    def close(self) -> None:
        pass


class FakeMessage:
    def __init__(self, key: str, value: bytes | None) -> None:
        self._key, self._value = key, value

    def key(self) -> bytes:
        return self._key.encode()

    def value(self) -> bytes | None:
        return self._value


def control(*changes: tuple[str, bytes | None]) -> Control:
    made = Control.__new__(Control)
    made._follower = FakeFollower(*changes)  # type: ignore[assignment]  # a topic in memory
    made._changes = {}
    made._is_ours = subscription("^camera_").takes
    made.has_news()
    return made


def test_changes_lie_over_the_file_and_the_last_of_a_camera_counts() -> None:
    file = {f"camera_{n}": Camera(id=f"camera_{n}", url="synthetic:") for n in (1, 2, 3)}
    new = Camera(id="camera_4", url="rtsp://gate/4")
    wanted = control(
        ("camera_1", change("remove")),
        ("camera_2", change("pause")),
        ("camera_3", change("remove")),
        ("camera_3", change("resume", file["camera_3"])),
        ("camera_4", change("add", new)),
        ("gate_1", change("add", Camera(id="gate_1", url="synthetic:"))),
    ).over(file)
    assert wanted.keys() == {"camera_2", "camera_3", "camera_4"}
    assert wanted["camera_2"].is_paused
    assert wanted["camera_4"] == new


@pytest.mark.parametrize(
    "value",
    [None, b"", b"[]", b"{", b'{"action": "explode"}', b'{"action": "add", "camera": {"id": "camera_2"}}', b"\xff"],
)
def test_a_change_that_nobody_can_have_meant_is_left_out(value: bytes | None, caplog: pytest.LogCaptureFixture) -> None:
    file = {"camera_1": Camera(id="camera_1", url="synthetic:")}
    assert control(("camera_1", value)).over(file) == file
    assert "camera_1" in caplog.text
