"""The fetcher, the consumer's main process: poll, parse, dispatch; collect, write, commit."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import monotonic, time

from velox import failpoints
from velox.consumer.exactly_once import ExactlyOnce
from velox.consumer.stages import Stages
from velox.core.admission import Decision, Situation, decide
from velox.core.deadline import Deadline
from velox.core.freshness import Freshness
from velox.core.idleness import Cause
from velox.errors import BadRecordError, Reason
from velox.kafka.client import KafkaClient
from velox.kafka.dead_letters import dead_letter_topic
from velox.kafka.membership import REQUEST_S
from velox.kafka.parsing import parse_all
from velox.metrics.consumer import ConsumerMetrics
from velox.records import Answered, Partition, Position, Record
from velox.settings import FetcherSettings

log = logging.getLogger(__name__)

POLL_S = 0.1
"""Longest single wait for Kafka: how soon a signal or a stored result is noticed on an idle system."""
_LIVE_MARGIN_S = 60.0
"""A turn of the loop takes seconds, besides a revocation and a commit that hangs, which have limits of their own."""
_TICK_S = 1.0
"""Time between two updates of the gauges: lag and readiness are asked for no more often than they are scraped."""

_NO_BUCKET = "the payload is in a bucket, and this consumer has none: set BUCKET_URL"


class Fetcher:
    """One loop over Kafka. ``step`` is one turn of it; the other parts work on threads and processes of their own."""

    def __init__(self, settings: FetcherSettings, metrics: ConsumerMetrics, kafka: KafkaClient, stages: Stages) -> None:
        """Fetch from ``kafka`` as fast as the stages take it; nothing is fetched before ``start`` and ``step``."""
        self._onward: Callable[[Sequence[Record]], None]
        self._failed: Callable[[list[Answered]], None]
        self.kafka = kafka
        self.revoke_wait_s = settings.revoke_wait_s
        self._settings = settings
        self._metrics = metrics
        self._stages = stages
        self._flight = stages.flight
        self._freshness = Freshness.of(is_newest_only=settings.is_newest_only, stale_after_ms=settings.stale_after_ms)
        self._joined = False
        self._was_warm = False
        self._draining = False
        self._paused = False
        self._is_circuit_open = False
        self._is_behind: bool | None = None
        """Whether Kafka held records, at the last look, that had not been fetched; None when nobody said."""
        self._has_read = False
        """Whether anything was asked for since the last look."""
        self._longest_turn_s = _longest_turn_s(settings)
        self._full_since: float | None = None
        self._turned_at: float | None = None
        self._commit = Deadline(settings.commit_interval_s)
        self._tick = Deadline(0)

    def start(self, *, onward: Callable[[Sequence[Record]], None], failed: Callable[[list[Answered]], None]) -> None:
        """Learn what takes the records that are fetched, and those that cannot be read; neither may block."""
        self._onward, self._failed = onward, failed

    @property
    def commits(self) -> KafkaClient | ExactlyOnce:
        """What commits offsets."""
        return self._stages.exactly_once or self.kafka

    def step(self) -> None:
        """Take one turn: note what is done, commit, fetch what there is room for, hand it over.

        Raises:
            VeloxError: something failed for good; end the process and let it be started again.
        """
        self._turned_at = monotonic()
        self._stages.check()
        self._flight.settle()
        self._note_circuit()
        self._act_on_time()
        decision = decide(self._situation(), batch_size=self._settings.batch_size, queue_size=self._settings.queue_size)
        self._pause_or_resume(decision)
        self._stages.dispatcher.lacks_because(decision.lack)
        if decision.fetch == 0 and not self._paused:
            self._flight.wait(POLL_S)
            return
        self._has_read = self._has_read or decision.fetch > 0
        messages = self.kafka.fetch(max(1, decision.fetch), POLL_S)
        if not messages:
            return
        self._stages.dispatcher.lacks_because(Cause.FETCH)
        failpoints.reach("after_fetch")
        codec, form, most = self._settings.codec, self._settings.json_form, self._settings.max_message_bytes
        self._take_in(parse_all(messages, codec=codec, json=form, max_bytes=most, epoch=self._flight.offsets.epoch))
        failpoints.reach("after_dispatch")

    def stop_fetching(self) -> None:
        """Fetch no more; ``step`` goes on to poll, settle and commit."""
        self._draining = True
        self._pause("draining")

    def live(self) -> str | None:
        """Say why a restart would help, None when it would not."""
        if self._turned_at is None:  # before its first turn the consumer waits for Kafka, as long as it takes
            return None
        silent_s = monotonic() - self._turned_at
        return f"the poll loop has not turned for {silent_s:.0f} s" if silent_s > self._longest_turn_s else None

    def ready(self) -> str | None:
        """Say why records are not being processed, None when they are."""
        if self._draining:
            return "draining"
        dispatcher = self._stages.dispatcher
        self._was_warm = self._was_warm or dispatcher.is_warm
        if not self._was_warm or not dispatcher.ready_processes:
            return "loading the model"
        if not self._joined and (problem := self.kafka.problem):
            return f"no partitions assigned: {problem}"
        if hold := self._stages.hold:
            return hold.why
        if not self._joined:
            return "no partitions assigned"
        return f"damaged batch: {_places(damaged)}" if (damaged := self.kafka.damaged) else None

    def assigned(self, starts: Mapping[Partition, int]) -> None:
        """Begin with partitions that this consumer now owns."""
        self._joined = True
        self._metrics.reads(partition.topic for partition in starts)
        for partition, offset in starts.items():
            self._flight.offsets.begin(partition, offset)
        log.info("Assigned %s", _names(starts))

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Give partitions up: wait a bounded time for their records in flight, commit what is done, forget the rest."""
        deadline = Deadline(self.revoke_wait_s)
        while self._flight.offsets.in_flight(partitions) and not deadline.has_passed() and not self._stages.is_blocked:
            self._flight.wait(POLL_S)
            self._flight.settle()
        left = self._flight.offsets.in_flight(partitions)
        done = self._flight.offsets.committable()
        failpoints.reach("in_revoke")
        self.commits.commit_now({p: offset for p, offset in done.items() if p in set(partitions)})
        self._forget(partitions)
        log.info("Revoked %s, %d records in flight left to their next owner", _names(partitions), left)

    def lost(self, partitions: Sequence[Partition]) -> None:
        """Forget partitions that another member may own already; commit nothing for them."""
        self._joined = False
        self._forget(partitions)
        log.warning("Lost %s: this consumer was away too long", _names(partitions))

    def refused(self, error: str) -> None:
        """Count a commit that was refused."""
        self._metrics.commits_refused.labels(error).inc()

    def _take_in(self, parsed: Iterable[tuple[Record, BadRecordError | None] | Position]) -> None:
        good: list[Record] = []
        bad: list[Answered] = []
        for found in parsed:
            if isinstance(found, Position):
                self._flight.skip(found)
                self._metrics.drop("null_value", found.topic)
                continue
            record, error = found
            self._flight.add(record)
            if record.pointer is not None and not self._stages.finds_objects:
                error = error or BadRecordError(Reason.FORBIDDEN_POINTER, _NO_BUCKET)
            if error is None:
                good.append(record)
            else:
                bad.append(Answered(record, error))
        fresh, dropped = self._freshness.sift(good, time())
        bad += [Answered(record, why) for record, why in dropped]
        if fresh:
            self._onward(fresh)
        if bad:
            self._failed(bad)

    def _situation(self) -> Situation:
        return Situation(
            room=self._flight.room(),
            in_flight=self._flight.records,
            in_flight_bytes=self._flight.bytes,
            downloading=self._stages.downloading,
            with_inference=self._stages.dispatcher.in_hand,
            hold=self._stages.hold,
            full_for_s=0.0 if self._full_since is None else monotonic() - self._full_since,
            is_draining=self._draining,
            has_joined=self._joined,
            is_behind=self._is_behind,
        )

    def _pause_or_resume(self, decision: Decision) -> None:
        if decision.fetch:
            self._full_since = None
            self._resume()
        else:
            self._full_since = self._full_since or monotonic()
            if decision.pause:
                self._pause(decision.pause)

    def _note_circuit(self) -> None:
        if self._flight.circuit.cause and not self._is_circuit_open:
            self._is_circuit_open = True
            self._metrics.circuit_open.set(1)
            log.error(
                "Circuit open: %s. No more is consumed until a restart; what lies behind stays in Kafka. Read some of "
                "%s, mend the cause, start again (DEAD_LETTER_RATIO=0 and DEAD_LETTER_RUN=0 let all that is bad pass)",
                self._flight.circuit.cause,
                dead_letter_topic(self._settings),
            )

    def _pause(self, why: str) -> None:
        if not self._paused:
            self._paused = True
            self.kafka.pause()
            log.info("Paused: %s", why)

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self.kafka.resume()
            log.info("Resumed")

    def _act_on_time(self) -> None:
        self._metrics.in_flight_records.set(self._flight.records)
        self._metrics.in_flight_bytes.set(self._flight.bytes)
        if self._commit.has_passed():
            self._commit = Deadline(self._settings.commit_interval_s)
            self.commits.commit(self._flight.offsets.committable())
        if self._tick.has_passed():
            self._tick = Deadline(_TICK_S)
            self._metrics.ready.set(self.ready() is None)
            self._metrics.assigned.set(len(self.kafka.owned))
            self._look()

    def _look(self) -> None:
        """See how far reading is, and what stands in its way."""
        positions = self.kafka.positions()
        for partition, position in positions.items():
            self._flight.offsets.reached(partition, position)
        lag = self.kafka.look(positions, is_reading=self._has_read)
        self._has_read = False
        self._is_behind = any(lag.values()) if lag or not positions else None
        for partition, records in lag.items():
            self._metrics.lag.labels(partition.topic, str(partition.number)).set(records)
        self._metrics.damaged_partitions.set(len(self.kafka.damaged))
        for partition, records in self.kafka.skip().items():
            self._metrics.damaged.inc(records)
            log.error("Lost up to %d records of %s: a batch in Kafka was damaged", records, _names([partition]))
        for partition, records in self.kafka.expired(self._flight.offsets.take_gaps()).items():
            self._metrics.expired.inc(records)
            log.error(
                "Lost %d records of %s: Kafka had removed them before they were read. Lengthen the topic's retention, "
                "or add consumers",
                records,
                _names([partition]),
            )

    def _forget(self, partitions: Sequence[Partition]) -> None:
        self._flight.forget(partitions)
        self._metrics.lag.clear()


def _longest_turn_s(settings: FetcherSettings) -> float:
    """Add up what a turn may wait for: records of revoked partitions, then their commit, then anything else."""
    commit_s = settings.session_timeout_ms / 1000 if settings.delivery == "exactly_once" else REQUEST_S
    return settings.revoke_wait_s + commit_s + _LIVE_MARGIN_S


def _places(damaged: Mapping[Partition, int]) -> str:
    return ", ".join(f"{at.topic}-{at.number} stands still at offset {damaged[at]}" for at in sorted(damaged))


def _names(partitions: Iterable[Partition]) -> str:
    return ", ".join(f"{p.topic}-{p.number}" for p in sorted(partitions)) or "no partitions"
