"""How ``velox verify`` injects faults: one after the other, each waited for, none for ever."""

from collections.abc import Callable
from io import StringIO
from typing import cast

import pytest

from tests.fakes import FakeClock
from velox.errors import VeloxError
from velox.records import Partition
from velox.tools.verify import members
from velox.tools.verify.faults import LIMIT_S, Faults
from velox.tools.verify.members import Member, Members
from velox.tools.verify.plan import Fault, Kind
from velox.tools.verify.watch import Watch

HERE = Partition("records", 0)
COMMIT_S = 1.0
HELD_S = 1.3
"""Until something may have been committed too early."""


class FakeMember:
    """Does what it is told, and remembers it; some of it takes its time."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.done: list[str] = []
        self.inference_restarts = 0
        self.has_inference = True
        self.exit_code: int | None = None

    def look(self) -> None:
        self.clock.advance(7)

    def hold(self) -> None:
        self.done.append("held")

    def release(self) -> None:
        self.done.append("released")

    def kill(self) -> None:
        self.done.append("killed")
        self.clock.advance(2)

    def kill_inference(self) -> bool:
        self.done.append("inference killed")
        return self.has_inference

    def leave(self) -> None:
        self.done.append("leaves")


class FakeMembers:
    """One member that is there, and one that may join."""

    def __init__(self, clock: FakeClock) -> None:
        self.member, self.guest = FakeMember(clock), FakeMember(clock)
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
        self.members = FakeMembers(clock)
        self.watch = Watch(clock=clock)
        self.faults = Faults(
            list(faults), cast("Members", self.members), self.watch, commit_interval_s=COMMIT_S, clock=clock
        )
        self.clock = clock
        self.offset = 0

    def step(self, published: int, *, healthy: bool = True, moves: bool = True, takes_s: float = 0) -> None:
        self.clock.advance(takes_s)
        self.offset += moves
        self.watch.saw({HERE: self.offset}, {HERE: 1_000_000}, healthy=healthy)
        self.faults.step(published, healthy=healthy)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def stage(clock: FakeClock) -> Callable[..., Stage]:
    return lambda *faults: Stage(clock, *faults)


def test_a_fault_waits_for_its_record_and_until_all_is_well(stage: Callable[..., Stage]) -> None:
    run = stage(Fault(100, Kind.KILL_CONSUMER))
    run.step(99)
    run.step(100, healthy=False)
    assert run.members.member.done == []
    assert run.faults.next_at == 100
    run.step(100)
    run.step(100, moves=False)
    run.step(100, moves=False, takes_s=HELD_S)
    assert run.members.member.done == ["held", "killed"]
    assert run.faults.next_at == float("inf")
    assert not run.faults.are_over


def test_the_next_fault_waits_until_the_last_one_is_over(stage: Callable[..., Stage]) -> None:
    run = stage(Fault(1, Kind.KILL_CONSUMER), Fault(2, Kind.KILL_CONSUMER))
    run.step(5)
    for _ in range(4):
        run.step(5, moves=False, takes_s=HELD_S)
    assert run.members.member.done == ["held", "killed"]
    for _ in range(4):
        run.step(5)
    assert run.members.member.done == ["held", "killed", "killed"]
    for _ in range(3):
        run.step(5)
    assert run.faults.are_over
    assert len(run.watch.recoveries[Kind.KILL_CONSUMER]) == 2


def test_recovery_from_a_killed_consumer_is_measured_from_the_kill(
    stage: Callable[..., Stage], clock: FakeClock
) -> None:
    run = stage(Fault(1, Kind.KILL_CONSUMER))
    run.step(1)
    run.step(1, moves=False)
    run.step(1, moves=False, takes_s=HELD_S)
    clock.advance(3)
    run.step(1)
    assert run.watch.recoveries == {Kind.KILL_CONSUMER: [5]}, "2 s until it is started again, and 3 s"


@pytest.mark.parametrize(
    ("kind", "hold_s", "killed"),
    [(Kind.KILL_CONSUMER, HELD_S, "killed"), (Kind.KILL_INFERENCE, 0.3, "inference killed")],
)
def test_every_other_kill_finds_what_was_fetched_and_is_undone(
    stage: Callable[..., Stage], kind: Kind, hold_s: float, killed: str
) -> None:
    """For a consumer it lasts beyond the next commit: what is committed before it is done is lost then."""
    run = stage(*(Fault(1, kind) for _ in range(3)))
    done = run.members.member.done
    run.step(1)
    run.step(1, moves=False)
    for _ in range(round(hold_s / 0.1) - 1):
        run.step(1, moves=False, takes_s=0.1)
    assert done == ["held"]
    assert run.watch.longest_stall_s < 0.2, "it is not the consumer that stands still"
    for _ in range(8):
        run.step(1, takes_s=0.1)
        run.members.member.inference_restarts += killed in done
    assert done == ["held", killed, killed, "held"]
    for _ in range(8):
        run.step(1, takes_s=HELD_S)
        run.members.member.inference_restarts += 1
    assert done == ["held", killed, killed, "held", killed]
    assert run.faults.are_over


def test_what_is_held_goes_on_when_the_fault_is_given_up(stage: Callable[..., Stage], clock: FakeClock) -> None:
    run = stage(Fault(1, Kind.KILL_CONSUMER))
    run.step(1)
    run.step(1)
    clock.advance(LIMIT_S + 1)
    run.step(1)
    assert run.members.member.done == ["held", "released"]


def test_a_killed_inference_process_counts_from_the_kill_and_is_over_after_its_replacement(
    stage: Callable[..., Stage], clock: FakeClock
) -> None:
    run = stage(Fault(1, Kind.KILL_INFERENCE))
    run.members.member.has_inference = False
    run.step(1)
    clock.advance(20)
    run.step(1)
    run.step(1, takes_s=HELD_S)
    run.members.member.has_inference = True
    run.step(1)
    for _ in range(3):
        clock.advance(1)
        run.step(1)
    assert not run.watch.recoveries, "the consumer has not noticed yet"
    run.members.member.inference_restarts = 1
    run.step(1)
    clock.advance(1)
    run.step(1)
    run.step(1)
    assert run.faults.are_over
    assert run.watch.recoveries == {Kind.KILL_INFERENCE: [4]}, "not the 20 s in which there was none to kill"


def test_recovery_from_a_command_is_measured_from_its_end(stage: Callable[..., Stage], clock: FakeClock) -> None:
    run = stage(Fault(1, Kind.SINK_OUTAGE, "exit 0"))
    run.step(1)
    clock.advance(50)
    while not run.watch.is_recovering:
        run.step(1, moves=False)
    clock.advance(4)
    run.step(1)
    assert run.watch.recoveries == {Kind.SINK_OUTAGE: [4]}


def test_a_command_that_fails_ends_the_run(stage: Callable[..., Stage]) -> None:
    run = stage(Fault(1, Kind.BROKER_RESTART, "exit 3"))

    def until_it_ends() -> None:
        while True:
            run.step(1, moves=False)

    with pytest.raises(VeloxError, match="'exit 3' ended with exit code 3"):
        until_it_ends()


def test_a_guest_leaves_when_it_takes_part(stage: Callable[..., Stage]) -> None:
    run = stage(Fault(1, Kind.JOIN))
    run.step(1)
    for _ in range(3):
        run.step(1, healthy=False)
    assert run.members.guest.done == ["joins"]
    for _ in range(3):
        run.step(1)
    assert run.members.guest.done == ["joins", "leaves"]
    assert run.faults.now == "fault 1 of 1"
    run.members.guest.exit_code = 0
    run.step(1)
    run.step(1)
    assert run.members.left == [run.members.guest]
    assert run.faults.are_over
    assert set(run.watch.recoveries) == {Kind.JOIN, Kind.LEAVE}


def test_what_does_not_recover_is_given_up_and_remembered(stage: Callable[..., Stage], clock: FakeClock) -> None:
    run = stage(Fault(1, Kind.KILL_CONSUMER), Fault(2, Kind.KILL_CONSUMER))
    run.step(2)
    run.step(2, moves=False)
    run.step(2, moves=False, takes_s=HELD_S)
    clock.advance(LIMIT_S + 1)
    run.step(2, moves=False)
    assert run.faults.not_recovered == ["fault 1 was not recovered from within 120 s"]
    run.step(2, moves=False)
    run.step(2, moves=False)
    assert run.members.member.done == ["held", "killed", "killed"]


def test_no_more_are_injected_after_skipping(stage: Callable[..., Stage]) -> None:
    run = stage(Fault(1, Kind.KILL_CONSUMER))
    run.faults.skip()
    run.step(1)
    assert run.members.member.done == []
    assert run.faults.are_over


def test_whoever_ends_badly_is_named_those_who_left_before_the_end_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Scripted(FakeMember):
        """Ends with the code that was chosen, after as many restarts."""

        title = "a consumer"

        def __init__(self, *_: object) -> None:
            super().__init__(FakeClock())
            self.restarts = 0

        def start(self) -> None:
            self.done.append("started")

        def close(self) -> None:
            self.done.append("closed")

    monkeypatch.setattr(members, "Member", Scripted)
    group = Members({}, StringIO())
    guest, present, well = (cast("Scripted", group.join()) for _ in range(3))
    guest.exit_code, present.exit_code, well.exit_code = 3, 1, 0
    guest.restarts, present.restarts = 2, 1
    group.gone(cast("Member", guest))
    assert group.ended_badly() == [f"a consumer ended with exit code {code} when told to drain" for code in (3, 1)]
    assert group.restarts == 3
