"""How the consumer ends: in the direction of flow, within one deadline."""

import logging
import threading
from typing import NamedTuple

from velox import failpoints
from velox.consumer.fetcher import Fetcher
from velox.consumer.flight import Flight
from velox.consumer.stages import Stages
from velox.core.deadline import Deadline
from velox.signals import StopRequest

log = logging.getLogger(__name__)

_LEAVE_S = 5.0
"""Leaving the group may take this long even when the deadline has passed: the others wait for our partitions."""


class Ending(NamedTuple):
    """What was left when the consumer ended."""

    in_flight: int
    """Records neither stored nor dead-lettered."""
    uncommitted: int
    """Records that are, which Kafka does not know of."""
    hangs: bool
    """Some thread or process did not end."""

    @property
    def is_drained(self) -> bool:
        """Say whether nothing will be read again."""
        return not self.in_flight and not self.uncommitted


def drain(fetcher: Fetcher, flight: Flight, deadline: Deadline, stop: StopRequest) -> None:
    """Fetch no more, finish what is in flight and commit it, as far as the deadline and a second signal allow.

    Polling goes on meanwhile, so that the group does not take the partitions away, and a rebalance that is under way,
    during which no commit is accepted, comes to its end.
    """
    fetcher.stop_fetching()
    while flight.records and not deadline.has_passed() and not stop.is_urgent():
        failpoints.reach("while_draining")
        fetcher.step()
    commit = Deadline(min(_LEAVE_S, deadline.left_s()))
    while flight.offsets.committable() and not commit.has_passed() and not stop.is_urgent():
        fetcher.commits.commit(flight.offsets.committable())
        fetcher.step()


def shut_down(fetcher: Fetcher, stages: Stages, deadline: Deadline) -> Ending:
    """Close the bucket, the processes, the sinks and Kafka, in the direction of flow.

    What is done is committed; what is not will be read again.
    """
    has_read = stages.downloads.close(deadline) if stages.downloads else True
    has_ended = stages.dispatcher.close(deadline)
    # Nothing in flight: nothing to write, and no reason to wait for a sink that is down. Otherwise time is up.
    stages.writer.abandon()
    has_written = stages.writer.close(deadline.left_s() + 1)
    stages.flight.settle()
    has_left, uncommitted = _leave(fetcher, stages.flight, deadline)
    return Ending(stages.flight.records, uncommitted, hangs=not (has_read and has_ended and has_written and has_left))


def _leave(fetcher: Fetcher, flight: Flight, deadline: Deadline) -> tuple[bool, int]:
    """Commit and leave the group, on a thread that can be left behind: with a dead broker both may hang.

    Returns:
        Whether that came to its end, and how many records are done and not committed.
    """
    # Answered before the group is left: with the partitions goes what is known of them.
    uncommitted = [flight.offsets.uncommitted()]

    def leave() -> None:
        fetcher.revoke_wait_s = 0
        fetcher.commits.commit_now(flight.offsets.committable())
        uncommitted.append(flight.offsets.uncommitted())
        fetcher.kafka.close()

    leaving = threading.Thread(target=leave, name="leave-group", daemon=True)
    leaving.start()
    leaving.join(max(_LEAVE_S, deadline.left_s()))
    if leaving.is_alive():
        log.warning("Kafka did not answer in time: left without a word")
    return not leaving.is_alive(), uncommitted[-1]
