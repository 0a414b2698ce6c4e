"""One model's place: who serves it after every turn of events."""

import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from velox.settings.models import ModelEntry
from velox.worker.catalogue import Wanted
from velox.worker.place import Place

READY_WITHIN_S, DRAIN_S = 100.0, 20.0
ENTRY = ModelEntry("words", Path("words.env"))
OLD, NEW = Wanted(ENTRY, "old"), Wanted(ENTRY, "new")


class Member:
    """A process as a test wants it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.exit_code: int | None = None
        self.last_words = "it said so"
        self.cause: str | None = "loading"
        self.is_asked_to_end = False
        self.is_closed = False

    def unready_because(self) -> str | None:
        return self.cause

    def terminate(self) -> None:
        self.is_asked_to_end = True

    def close(self) -> None:
        self.is_closed = True


def asked_to_end(*members: Member) -> list[bool]:
    return [member.is_asked_to_end for member in members]


class Scene:
    """A place with members that were started there, and its clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.members: list[Member] = []
        self.place = Place(
            "words", self._start, ready_within_s=READY_WITHIN_S, drain_s=DRAIN_S, clock=lambda: self.now,
            rng=random.Random(0),  # noqa: S311 - draws waits
        )  # fmt: skip

    def _start(self, entry: ModelEntry) -> Member:
        assert entry == ENTRY
        self.members.append(Member(port=8001 + len(self.members)))
        return self.members[-1]

    def step(self, wanted: Wanted | None, *, at: float | None = None) -> None:
        self.now = self.now if at is None else at
        self.place.step(wanted)

    @property
    def state(self) -> tuple[str, str]:
        report = self.place.report()
        return report.state, report.cause


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def serving(scene: Scene) -> Scene:
    scene.step(OLD)
    scene.members[0].cause = None
    scene.step(OLD)
    return scene


def test_it_starts_a_member_and_is_ready_when_that_is(scene: Scene) -> None:
    scene.step(OLD)
    assert scene.state == ("starting", "")
    assert scene.place.report().port == 8001
    scene.members[0].cause = None
    scene.step(OLD)
    assert scene.state == ("ready", "")
    assert len(scene.members) == 1


def test_a_member_that_waits_for_something_is_not_ready_with_its_cause(serving: Scene) -> None:
    serving.members[0].cause = "sink requests is down"
    serving.step(OLD)
    assert serving.state == ("unready", "sink requests is down")
    serving.members[0].cause = None
    serving.step(OLD)
    assert serving.state[0] == "ready"


def test_one_that_cannot_load_is_tried_again_and_again_but_never_often(scene: Scene) -> None:
    starts = []
    for second in range(600):
        scene.step(OLD, at=float(second))
        if scene.members[-1].exit_code is None:
            starts.append(second)
            scene.members[-1].exit_code = 2
    assert scene.state == ("failing", "it said so")
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert gaps[0] <= 3
    assert all(30 <= gap <= 62 for gap in gaps[7:])
    assert all(member.is_closed for member in scene.members[:-1])


def test_one_that_served_for_long_is_started_again_at_once(serving: Scene) -> None:
    serving.step(OLD, at=100)
    serving.members[0].exit_code = -9
    serving.step(OLD)
    assert len(serving.members) == 2
    assert serving.state == ("unready", "it said so")
    serving.members[1].cause = None
    serving.step(OLD)
    assert serving.state == ("ready", "")


def test_a_change_starts_the_new_one_first_and_lets_the_old_one_drain(serving: Scene) -> None:
    old = serving.members[0]
    serving.step(NEW)
    new = serving.members[1]
    assert asked_to_end(old) == [False]
    assert serving.state == ("ready", "")
    new.cause = None
    serving.step(NEW)
    assert asked_to_end(old, new) == [True, False]
    assert [member.is_closed for member in serving.members] == [False, False]
    assert serving.place.report().port == new.port
    assert serving.place.ports == {8001, 8002}
    old.exit_code = 0
    serving.step(NEW)
    assert [member.is_closed for member in serving.members] == [True, False]
    assert serving.place.ports == {8002}
    assert not serving.place.ended_badly
    assert len(serving.members) == 2


def test_a_change_that_cannot_be_loaded_leaves_the_old_one_and_is_not_tried_again(serving: Scene) -> None:
    serving.step(NEW)
    serving.members[1].exit_code = 2
    for second in range(1, 200):
        serving.step(NEW, at=float(second))
    assert len(serving.members) == 2
    assert serving.state == ("ready", "not changed: it said so")
    serving.step(Wanted(ENTRY, "newer"))
    assert len(serving.members) == 3, "another change is"


def test_a_change_that_does_not_become_ready_in_time_is_given_up(serving: Scene) -> None:
    serving.step(NEW)
    serving.step(NEW, at=READY_WITHIN_S + 1)
    assert serving.members[1].is_closed
    assert serving.state == ("ready", "not changed: not ready within 100 s: loading")


def test_a_change_of_mind_lets_the_new_one_go(serving: Scene) -> None:
    serving.step(NEW)
    serving.step(Wanted(ENTRY, "newer"))
    assert serving.members[1].is_asked_to_end
    assert len(serving.members) == 3
    serving.step(OLD)
    assert serving.members[2].is_asked_to_end
    assert not serving.members[0].is_asked_to_end
    assert len(serving.members) == 3


def test_the_new_one_steps_in_when_the_old_one_dies_meanwhile(serving: Scene) -> None:
    serving.step(NEW)
    serving.members[0].exit_code = -9
    serving.step(NEW)
    serving.members[1].cause = None
    serving.step(NEW)
    assert serving.state == ("ready", "")
    assert serving.place.report().port == serving.members[1].port
    assert len(serving.members) == 2


def test_a_pipeline_file_that_cannot_be_read_changes_nothing(serving: Scene) -> None:
    serving.step(Wanted(ENTRY, problem="words.env cannot be read"))
    assert serving.state == ("ready", "not changed: words.env cannot be read")
    assert len(serving.members) == 1


def test_without_a_pipeline_file_nothing_is_started(scene: Scene) -> None:
    scene.step(Wanted(ENTRY, problem="words.env cannot be read"))
    assert scene.state == ("failing", "words.env cannot be read")
    assert scene.members == []


@pytest.mark.parametrize(
    "end", [lambda scene: scene.step(None), lambda scene: scene.place.drain()], ids=["unloaded", "stopped"]
)
def test_what_is_not_wanted_any_more_drains(serving: Scene, end: Callable[[Scene], None]) -> None:
    end(serving)
    assert serving.members[0].is_asked_to_end
    assert serving.place.ports
    serving.members[0].exit_code = 0
    serving.step(None)
    assert serving.place.is_empty
    assert not serving.place.ended_badly


def test_one_that_does_not_drain_is_ended(serving: Scene) -> None:
    serving.step(None)
    serving.step(None, at=DRAIN_S + 11)
    assert serving.members[0].is_closed
    assert serving.place.is_empty
    assert serving.place.ended_badly


def test_closing_ends_everything_at_once(serving: Scene) -> None:
    serving.step(NEW)
    serving.place.close()
    assert all(member.is_closed for member in serving.members)
    assert serving.place.is_empty
