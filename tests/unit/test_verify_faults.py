"""How ``velox verify`` injects faults: one after the other, each waited for, none for ever."""

from collections.abc import Callable
from typing import cast

import pytest

from tests.fakes import FakeClock
from velox.records import Partition
from velox.verify.faults import LIMIT_S, Faults
from velox.verify.members import Member, Members
from velox.verify.plan import Fault, Kind
from velox.verify.watch import Watch

HERE = Partition("records", 0)


class FakeMember:
    """Does at once what it is told, and remembers it."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.inference_restarts = 0
        self.has_inference = True
        self.exit_code: int | None = None

    def kill(self) -> None:
        self.done.append("killed")

    def kill_inference(self) -> bool:
        self.done.append("inference killed")
        return self.has_inference

    def leave(self) -> None:
        self.done.append("leaves")


class FakeMembers:
    """One member that is there, and one that may join."""

    def __init__(self) -> None:
        self.member, self.guest = FakeMember(), FakeMember()
        self.left: list[FakeMember] = []

    def any(self) -> Member:
        return cast("Member", self.member)

    def join(self) -> Member:
        self.guest.done.append("joins")
        return cast("Member", self.guest)

    def gone(self, member: FakeMember) -> None:
        self.left.append(member)


class Stage:
    """Faults with all that they need; ``turn`` is one look of the run, at a group that has just committed something."""

    def __init__(self, clock: FakeClock, *faults: Fault) -> None:
        self.members = FakeMembers()
        self.watch = Watch(clock=clock)
        self.faults = Faults(list(faults), cast("Members", self.members), self.watch, clock=clock)
        self.offset = 0

    def turn(self, published: int, *, healthy: bool = True, moves: bool = True) -> None:
        self.offset += moves
        self.watch.saw({HERE: self.offset}, {HERE: 1_000_000}, healthy=healthy)
        self.faults.turn(published, healthy=healthy)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def stage(clock: FakeClock) -> Callable[..., Stage]:
    return lambda *faults: Stage(clock, *faults)


def test_a_fault_waits_for_its_record_and_until_all_is_well(stage: Callable[..., Stage]) -> None:
    run = stage(Fault(100, Kind.KILL_CONSUMER))
    run.turn(99)
    run.turn(100, healthy=False)
    assert run.members.member.done == []
    assert run.faults.next_at == 100
    run.turn(100)
    run.turn(100, moves=False)
    assert run.members.member.done == ["killed"]
    assert run.faults.next_at == float("inf")
    assert not run.faults.are_over


def test_the_next_fault_waits_until_the_last_one_is_over(stage: Callable[..., Stage]) -> None:
    run = stage(Fault(1, Kind.KILL_CONSUMER), Fault(2, Kind.KILL_CONSUMER))
    run.turn(5)
    for _ in range(3):
        run.turn(5, moves=False)
    assert run.members.member.done == ["killed"]
    for _ in range(4):
        run.turn(5)
    assert run.members.member.done == ["killed", "killed"]
    for _ in range(3):
        run.turn(5)
    assert run.faults.are_over
    assert len(run.watch.recoveries[Kind.KILL_CONSUMER]) == 2


def test_a_killed_inference_process_counts_from_the_kill_and_is_over_after_its_replacement(
    stage: Callable[..., Stage],
) -> None:
    run = stage(Fault(1, Kind.KILL_INFERENCE))
    run.members.member.has_inference = False
    run.turn(1)
    run.turn(1)
    run.members.member.has_inference = True
    for _ in range(3):
        run.turn(1)
    assert not run.watch.recoveries, "the consumer has not noticed yet"
    run.members.member.inference_restarts = 1
    for _ in range(4):
        run.turn(1)
    assert run.faults.are_over
    assert len(run.watch.recoveries[Kind.KILL_INFERENCE]) == 1


def test_a_guest_leaves_when_it_takes_part(stage: Callable[..., Stage]) -> None:
    run = stage(Fault(1, Kind.JOIN))
    run.turn(1)
    for _ in range(3):
        run.turn(1, healthy=False)
    assert run.members.guest.done == ["joins"]
    for _ in range(3):
        run.turn(1)
    assert run.members.guest.done == ["joins", "leaves"]
    assert run.faults.now == "fault 1 of 1"
    run.members.guest.exit_code = 0
    run.turn(1)
    run.turn(1)
    assert run.members.left == [run.members.guest]
    assert run.faults.are_over
    assert set(run.watch.recoveries) == {Kind.JOIN, Kind.LEAVE}


def test_what_does_not_recover_is_given_up_and_remembered(stage: Callable[..., Stage], clock: FakeClock) -> None:
    run = stage(Fault(1, Kind.KILL_CONSUMER), Fault(2, Kind.KILL_CONSUMER))
    run.turn(2)
    run.turn(2, moves=False)
    clock.advance(LIMIT_S + 1)
    run.turn(2, moves=False)
    assert len(run.faults.not_recovered) == 1
    run.turn(2, moves=False)
    run.turn(2, moves=False)
    assert run.members.member.done == ["killed", "killed"]


def test_no_more_are_injected_after_skipping(stage: Callable[..., Stage]) -> None:
    run = stage(Fault(1, Kind.KILL_CONSUMER))
    run.faults.skip()
    run.turn(1)
    assert run.members.member.done == []
    assert run.faults.are_over
