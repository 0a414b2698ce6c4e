"""An inference process: encoded bytes in, predictions out. No network, no state but the model."""

import logging
import os
import signal
import sys
import threading
from multiprocessing import connection, parent_process
from multiprocessing.connection import Connection
from time import monotonic
from typing import Any

from velox import logs
from velox.allocator import keep_large_blocks
from velox.consumer.messages import Answers, Ready, Refused, Reply, Work
from velox.core.batching import Batcher
from velox.errors import BadRecordError, Reason, VeloxError
from velox.loading import load_class
from velox.models.model import Model
from velox.records import ModelInfo, Prediction
from velox.settings import Settings

log = logging.getLogger(__name__)


def serve(settings: Settings, device: str, pipe: "Connection[Reply, Work]") -> None:
    """Load the model, then answer until the fetcher closes its end of the pipe. The process's main function.

    An error in ``predict`` ends the process: the fetcher replaces it and tries its records again, one by one.
    """
    # The fetcher decides when to end; Ctrl-C and a service manager's SIGTERM reach the whole group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    keep_large_blocks()
    logs.configure(level=settings.log_level, form=settings.log_format)
    threading.Thread(target=_die_with_parent, name="die-with-parent", daemon=True).start()
    try:
        model: Model = load_class(settings.model)(settings)
        model.load(device)
    except VeloxError as error:
        pipe.send(Refused(str(error)))
        return
    pipe.send(Ready(ModelInfo(model.name, model.version, tuple(model.labels), device)))
    batcher = Batcher[tuple[int, bytes]](size=settings.batch_size, timeout_s=settings.batch_timeout_ms / 1000)
    while _receive(pipe, batcher):
        if batcher.due_in_s() == 0:
            waited_s = batcher.waited_s()
            pipe.send(answer(model, batcher.take(), waited_s=waited_s))
    sys.stdout.flush()
    os._exit(0)  # nothing is left to do, and a framework's own farewell takes seconds


def answer(model: Model, batch: list[tuple[int, bytes]], *, waited_s: float = 0.0) -> Answers:
    """Predict one batch. What cannot be decoded costs only itself.

    Raises:
        ValueError: the model gave more or fewer predictions than it got inputs.
        TypeError: the model gave a label that is no text.
    """
    started = monotonic()
    answers: list[tuple[int, Prediction | BadRecordError]] = []
    tickets: list[int] = []
    inputs: list[Any] = []
    for ticket, payload in batch:
        try:
            inputs.append(model.decode(payload))
        except BadRecordError as error:
            answers.append((ticket, _plain(error)))
        except Exception as error:  # noqa: BLE001 - a user's decode may raise anything; it costs this record only
            answers.append((ticket, BadRecordError(Reason.UNDECODABLE, f"{type(error).__name__}: {error}")))
        else:
            tickets.append(ticket)
    decoded = monotonic()
    predictions = model.predict(inputs) if inputs else []
    if len(predictions) != len(inputs):
        msg = f"{type(model).__name__}.predict returned {len(predictions)} predictions for {len(inputs)} inputs"
        raise ValueError(msg)
    answers.extend(zip(tickets, map(_checked, predictions), strict=True))
    return Answers(answers, waited_s, decoded - started, monotonic() - decoded)


def _checked(prediction: Prediction | BadRecordError) -> Prediction | BadRecordError:
    if isinstance(prediction, BadRecordError):
        return _plain(prediction)
    label: object = prediction.label
    if not isinstance(label, str):
        msg = f"predict returned the label {label!r}; labels are text"
        raise TypeError(msg)
    if 0 <= prediction.confidence <= 1:
        return prediction
    return BadRecordError(Reason.BAD_PREDICTION, f"confidence {prediction.confidence} is not within 0 and 1")


def _plain(error: BadRecordError) -> BadRecordError:
    """Make it one that can cross to the fetcher: a user's subclass may need other arguments to be built again."""
    return error if type(error) is BadRecordError else BadRecordError(Reason(error.reason), error.detail)


def _receive(pipe: "Connection[Reply, Work]", batcher: Batcher[tuple[int, bytes]]) -> bool:
    """Take in what has come, waiting no longer than until a batch is due; False when the fetcher has closed."""
    try:
        if pipe.poll(batcher.due_in_s()):
            work = pipe.recv()
            batcher.add(work.payloads, since=work.sent_at)
    except EOFError:
        return False
    return True


def _die_with_parent() -> None:
    """End this process at once when the fetcher dies, also in the middle of a prediction."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
