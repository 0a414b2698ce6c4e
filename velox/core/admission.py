"""How much the fetcher takes in: so many records, or none and why, and what idle processes lack meanwhile."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from velox.core.idleness import Cause

PATIENCE_S: Final = 0.5
"""A full flight is waited for this long before partitions are paused: a pause throws the prefetch away."""


class Hold(NamedTuple):
    """What forbids fetching although there is room."""

    why: str
    cause: Cause


class Decision(NamedTuple):
    """What to do in this step."""

    fetch: int
    """Records to ask Kafka for at most; 0: none."""
    pause: str | None
    """Why the partitions should be paused, None when they should stay as they are. Fetching resumes them."""
    lack: Cause
    """Why inference processes that have no work get none now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What the fetcher knows when it decides."""

    room: int
    """Records that may still be in flight."""
    in_flight: int
    in_flight_bytes: int
    downloading: int = 0
    """Of those in flight, the records whose payload is not here yet."""
    with_inference: int = 0
    """Of those in flight, the records that wait for an inference process, or for its answer."""
    hold: Hold | None = None
    full_for_s: float = 0.0
    """How long nothing has been fetched for lack of room or because of a hold."""
    is_draining: bool = False
    has_joined: bool = True
    """Whether partitions were assigned."""
    is_behind: bool | None = None
    """Whether Kafka held records, at the last look, that had not been fetched; None when nobody said."""


def hold(*, circuit: str | None, sink: str | None, bucket: str | None) -> Hold | None:
    """Choose what to name of all that forbids fetching; each is None while all is well there."""
    if circuit:
        return Hold(f"circuit open: {circuit}", Cause.CIRCUIT)
    if sink:
        return Hold(f"blocked by {sink}", Cause.SINK)
    return Hold(f"blocked by {bucket}", Cause.DOWNLOAD) if bucket else None


def decide(now: Situation, *, batch_size: int, queue_size: int) -> Decision:
    """Decide how many records to fetch.

    Not before a whole hand-over has room: fetching record by record costs twice as much. And no more than two of them
    at once, so that what is done is noticed in between.
    """
    enough = min(2 * batch_size, queue_size)
    room = now.room if now.room >= enough else 0
    fetch = 0 if now.hold or now.is_draining else min(room, 4 * batch_size)
    return Decision(fetch, None if fetch else _pause(now), _lack(now, room=room))


def _pause(now: Situation) -> str | None:
    if now.hold:
        return now.hold.why
    if now.full_for_s > PATIENCE_S:
        return f"{now.in_flight} records, {now.in_flight_bytes} bytes in flight"
    return None


def _lack(now: Situation, *, room: int) -> Cause:
    if now.is_draining:
        return Cause.NO_WORK
    if now.hold:
        return now.hold.cause
    if 2 * now.downloading > now.in_flight:
        return Cause.DOWNLOAD
    if room:
        if now.is_behind is None and now.has_joined:
            return Cause.LAG_UNKNOWN
        return Cause.FETCH if now.is_behind or not now.has_joined else Cause.NO_WORK
    return Cause.QUEUE_SIZE if 2 * now.with_inference > now.in_flight else Cause.SINK
