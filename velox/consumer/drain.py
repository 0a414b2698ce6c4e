"""How the consumer ends: in the direction of flow, within one deadline."""

import logging
import threading

from velox import failpoints
from velox.consumer.dispatch import Dispatcher
from velox.consumer.fetcher import Fetcher
from velox.consumer.flight import Flight
from velox.consumer.writer import Writer
from velox.core.deadline import Deadline
from velox.signals import StopRequest

log = logging.getLogger(__name__)

_LEAVE_S = 5.0
"""Leaving the group may take this long even when the deadline has passed: the others wait for our partitions."""


def drain(fetcher: Fetcher, flight: Flight, deadline: Deadline, stop: StopRequest) -> bool:
    """Fetch no more, finish what is in flight and commit it; False when something was left in flight.

    Polling goes on meanwhile, so that the group does not take the partitions away, and a rebalance that is under way,
    during which no commit is accepted, comes to its end.
    """
    fetcher.stop_fetching()
    while flight.records and not deadline.has_passed() and not stop.is_urgent():
        failpoints.reach("while_draining")
        fetcher.step()
    flight.settle()
    commit = Deadline(min(_LEAVE_S, deadline.left_s()))
    while flight.offsets.committable() and not commit.has_passed() and not stop.is_urgent():
        fetcher.commits.commit(flight.offsets.committable())
        fetcher.step()
    return flight.records == 0


def shut_down(fetcher: Fetcher, flight: Flight, writer: Writer, dispatcher: Dispatcher, deadline: Deadline) -> bool:
    """Close the processes, the sinks and Kafka, in the direction of flow; False when something hung.

    What is done is committed; what is not will be read again.
    """
    ended = dispatcher.close(deadline)
    # Nothing in flight: nothing to write, and no reason to wait for a sink that is down. Otherwise time is up.
    writer.abandon()
    written = writer.close(deadline.left_s() + 1)
    flight.settle()
    return _leave(fetcher, flight, deadline) and written and ended


def _leave(fetcher: Fetcher, flight: Flight, deadline: Deadline) -> bool:
    """Commit and leave the group, on a thread that can be left behind: with a dead broker both may hang."""

    def leave() -> None:
        fetcher.revoke_wait_s = 0
        fetcher.commits.commit_now(flight.offsets.committable())
        fetcher.kafka.close()

    leaving = threading.Thread(target=leave, name="leave-group", daemon=True)
    leaving.start()
    leaving.join(max(_LEAVE_S, deadline.left_s()))
    if leaving.is_alive():
        log.warning("Kafka did not answer in time: left without a word")
    return not leaving.is_alive()
