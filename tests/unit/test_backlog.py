"""Flow control between a producer and the group that reads."""

from velox.core.backlog import RECORD_BYTES, REFRESH_S, Backlog, LagLimit
from velox.errors import BrokerUnavailableError
from velox.records import Partition

LEFT, RIGHT = Partition("images", 0), Partition("images", 1)
SIZE = 1000 - RECORD_BYTES


class Group:
    """A consumer group that has committed what the test says."""

    def __init__(self) -> None:
        self.offsets: dict[Partition, int] = {}
        self.asked = 0
        self.is_down = False

    def committed(self, partitions: list[Partition]) -> dict[Partition, int]:
        self.asked += 1
        if self.is_down:
            raise BrokerUnavailableError("down")
        return {p: offset for p, offset in self.offsets.items() if p in partitions}


def deliver(backlog: Backlog, partition: Partition, *offsets: int) -> None:
    for offset in offsets:
        backlog.published(SIZE)
        backlog.delivered(partition, offset, SIZE)


def test_the_partition_furthest_behind_counts() -> None:
    backlog = Backlog()
    deliver(backlog, LEFT, 0, 1)
    deliver(backlog, RIGHT, 0, 1, 2)
    assert backlog.behind_bytes() == 3000


def test_a_record_on_its_way_counts_for_every_partition() -> None:
    backlog = Backlog()
    deliver(backlog, LEFT, 0)
    backlog.published(SIZE)
    assert backlog.behind_bytes() == 2000


def test_a_record_that_failed_counts_no_more() -> None:
    backlog = Backlog()
    backlog.published(SIZE)
    backlog.failed(SIZE)
    assert backlog.behind_bytes() == 0


def test_what_is_committed_is_not_behind() -> None:
    backlog = Backlog()
    deliver(backlog, LEFT, 7, 8, 9)
    backlog.committed({LEFT: 9})
    assert backlog.behind_bytes() == 1000


def test_a_commit_that_goes_back_changes_nothing() -> None:
    backlog = Backlog()
    deliver(backlog, LEFT, 0, 1, 2)
    backlog.committed({LEFT: 2})
    backlog.committed({LEFT: 1})
    assert backlog.behind_bytes() == 1000


def test_only_partitions_with_something_unread_are_asked_about() -> None:
    backlog = Backlog()
    deliver(backlog, LEFT, 0)
    deliver(backlog, RIGHT, 0)
    backlog.committed({LEFT: 1})
    assert backlog.partitions == [RIGHT]


def test_the_limit_holds_until_the_group_has_caught_up() -> None:
    now = 0.0
    backlog, group = Backlog(), Group()
    limit = LagLimit(2000, backlog, group.committed, clock=lambda: now)
    deliver(backlog, LEFT, 0, 1)
    assert limit.is_reached()
    group.offsets = {LEFT: 1}
    now += REFRESH_S
    assert not limit.is_reached()


def test_the_group_is_not_asked_while_little_is_unread() -> None:
    backlog, group = Backlog(), Group()
    limit = LagLimit(10_000, backlog, group.committed, clock=lambda: 0)
    deliver(backlog, LEFT, 0, 1)
    assert not limit.is_reached()
    assert group.asked == 0


def test_the_group_is_not_asked_for_every_record() -> None:
    now = 0.0
    backlog, group = Backlog(), Group()
    limit = LagLimit(2000, backlog, group.committed, clock=lambda: now)
    deliver(backlog, LEFT, 0, 1)
    for _ in range(100):
        limit.is_reached()
    assert group.asked == 1


def test_while_the_broker_does_not_answer_the_limit_goes_by_what_was_known_last() -> None:
    backlog, group = Backlog(), Group()
    limit = LagLimit(2000, backlog, group.committed, clock=lambda: 0)
    deliver(backlog, LEFT, 0, 1)
    group.is_down = True
    assert limit.is_reached()
    assert group.asked == 1
