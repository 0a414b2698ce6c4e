"""An inference process: encoded bytes in, predictions out. No network, no state but the model."""

import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from functools import partial
from multiprocessing import connection, parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from time import monotonic
from typing import Any

from velox import failpoints, logs
from velox.allocator import keep_large_blocks
from velox.consumer.checking import checked, plain
from velox.consumer.decoding import Decoding
from velox.consumer.messages import Answers, Ready, Refused, Reply, Work
from velox.consumer.portions import Portions, is_out_of_memory
from velox.core.batching import Batcher
from velox.core.pace import FixedPace, Pace
from velox.errors import BadRecordError, Reason, VeloxError
from velox.loading import load_class
from velox.models.model import Model, Sampled
from velox.records import ModelInfo, Prediction
from velox.settings import InferenceSettings

log = logging.getLogger(__name__)

Batch = list[tuple[int, bytes]]
"""Tickets and payloads."""
Ask = Callable[..., Answers]
"""``answer``, for the process's own model."""

_REHEARSAL_S = 0.2
"""The start is held up no longer by learning what batches cost."""
_FETCHER_S = 0.0002
"""What a batch costs the fetcher, however many are in it: about so much, on the same cores."""


def serve(settings: InferenceSettings, device: str, pipe: "Connection[Reply, Work | None]") -> None:
    """Load the model, then answer until the fetcher has no more work. The process's main function.

    Records are predicted in the order in which they come: the fetcher relies on it when it looks for the one that
    killed the process. An error in ``predict`` ends the process: the fetcher replaces it and tries the batch again.
    """
    # The fetcher decides when to end; Ctrl-C and a service manager's SIGTERM reach the whole group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    keep_large_blocks()
    logs.configure(level=settings.log_level, form=settings.log_format, pipeline=settings.pipeline)
    threading.Thread(target=_die_with_parent, name="die-with-parent", daemon=True).start()
    failpoints.arm()
    failpoints.reach("before_load")
    try:
        model: Model = load_class(settings.model)(settings)
        model.load(device)
    except VeloxError as error:
        pipe.send(Refused(str(error)))
        return
    portions = Portions(settings.batch_size)
    batcher = Batcher[tuple[int, bytes]](_pace(settings))
    if isinstance(model, Sampled):
        rehearse(model, model.sample(), portions, batcher.pace)
    pipe.send(Ready(ModelInfo(model.name, model.version, tuple(model.labels), device)))
    wait = BatchWait()
    decoding = Decoding(model.decode, threads=settings.decode_threads)
    ask = partial(answer, model, portions=portions, decoding=decoding)
    code = 0
    try:
        while step(ask, batcher, pipe, wait, decoding):
            pass
    except EOFError:
        pass
    except Exception:
        log.exception("The model failed, which ends this process; its records are predicted by the next")
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # nothing is left to do: a framework's own farewell takes seconds, threads that decode even longer


class BatchWait:
    """How long the process has done nothing but wait for more records to predict with those it has."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def poll(self, pipe: "Connection[Reply, Work | None]", due_in_s: float | None) -> bool:
        """Wait for work until a batch is due. With none to come (None) it is not a batch that waits."""
        started = monotonic()
        has_come = pipe.poll(due_in_s)
        if due_in_s:
            self._seconds += monotonic() - started
        return has_come

    def take(self) -> float:
        """Answer the seconds since the last call."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds


def answer(
    model: Model,
    batch: Batch,
    *,
    portions: Portions,
    decoding: Decoding | None = None,
    waited_s: float = 0.0,
    batch_wait_s: float = 0.0,
) -> Answers:
    """Predict one batch, in parts when memory runs out. What cannot be decoded costs only itself.

    ``decoding`` is of the same model; it may have begun with the batch already.

    Raises:
        ValueError: the model gave more or fewer predictions than it got inputs.
        TypeError: the model gave a label that is no text, or a score or box of another form than the contract's.
    """
    started = monotonic()
    decoding = decoding or Decoding(model.decode)
    answers: list[tuple[int, Prediction | BadRecordError]] = []
    tickets: list[int] = []
    inputs: list[Any] = []
    for ticket, payload in batch:
        try:
            inputs.append(decoding.take(ticket, payload))
        except BadRecordError as error:
            answers.append((ticket, plain(error)))
        except Exception as error:  # noqa: BLE001 - a user's decode may raise anything; it costs this record only
            reason = Reason.OUT_OF_MEMORY if is_out_of_memory(error) else Reason.UNDECODABLE
            answers.append((ticket, BadRecordError(reason, _where(error))))
        else:
            tickets.append(ticket)
    decoded = monotonic()
    failpoints.reach("mid_batch")
    predictions = portions.predict(model, inputs)
    answers.extend(zip(tickets, map(checked, predictions), strict=True))
    now = monotonic()
    return Answers(
        answers, waited_s, decoded - started, now - decoded, portions.limit, now, batch_wait_s,
        remarks=decoding.take_remarks(),
    )  # fmt: skip


def _pace(settings: InferenceSettings) -> Pace:
    if settings.batch_timeout_ms is None:
        return Pace(size=settings.batch_size, target_s=settings.latency_target_ms / 1000)
    return FixedPace(size=settings.batch_size, wait_s=settings.batch_timeout_ms / 1000)


def rehearse(model: Model, payload: bytes, portions: Portions, pace: Pace) -> None:
    """Learn what batches cost before there are records, from one that is like them."""
    began = monotonic()
    count = 1
    while count <= portions.limit and monotonic() - began + pace.curve.seconds(count) < _REHEARSAL_S:
        started = monotonic()
        portions.predict(model, [model.decode(payload) for _ in range(count)])
        pace.computed(count, monotonic() - started + _FETCHER_S)
        count *= 2


def _where(error: Exception) -> str:
    """Tell an error with the place it comes from: the one thing that a defect's dead letters have in common."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {frame.name} ({Path(frame.filename).name}:{frame.lineno}): {error}"


def step(
    ask: Ask,
    batcher: Batcher[tuple[int, bytes]],
    pipe: "Connection[Reply, Work | None]",
    wait: BatchWait,
    decoding: Decoding,
) -> bool:
    """Take in all that has come, waiting no longer than until a batch is due, and answer that; False at the end."""
    due_in_s = batcher.due_in_s()
    while wait.poll(pipe, due_in_s):
        work = pipe.recv()
        if work is None:
            return False
        decoding.expect(work.payloads)
        if work.alone:
            _answer(ask, work.payloads, pipe, batcher.pace, since=work.sent_at)
            return True
        batcher.add(work.payloads, since=work.sent_at)
        due_in_s = 0
    if batcher.due_in_s() == 0:
        since = monotonic() - batcher.waited_s()
        _answer(ask, batcher.take(), pipe, batcher.pace, since=since, batch_wait_s=wait.take())
    return True


def _answer(
    ask: Ask,
    batch: Batch,
    pipe: "Connection[Reply, Work | None]",
    pace: Pace,
    *,
    since: float,
    batch_wait_s: float = 0.0,
) -> None:
    started = monotonic()
    answers = ask(batch, waited_s=started - since, batch_wait_s=batch_wait_s)
    failpoints.reach("after_predict")
    pipe.send(answers._replace(decision=pace.decide()))
    pace.computed(len(batch), monotonic() - started + _FETCHER_S)


def _die_with_parent() -> None:
    """End this process at once when the fetcher dies, also in the middle of a prediction."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
