"""Sinks and models that break their promise, for seeing that it shows."""

import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from time import sleep

from velox.errors import BadRecordError, Reason, SinkUnavailableError
from velox.records import Prediction, Result
from velox.settings import InferenceSettings, Settings
from velox.sinks.sink import Stored
from velox.sinks.sqlite import SqliteSink


class OwnFileSink(SqliteSink):
    """Does everything right, in a file of its own."""

    def __init__(self, settings: Settings) -> None:
        name = type(self).__name__
        path = settings.sqlite_path.with_stem(f"{settings.sqlite_path.stem}-{name}")
        super().__init__(settings.model_copy(update={"sqlite_path": path}))
        self.name = name


class ForgetfulSink(OwnFileSink):
    """Says that it has stored everything, and leaves out the records whose number ends in 77."""

    def write(self, batch: Sequence[Result]) -> None:
        super().write([result for result in batch if not result.id.endswith("77")])


class RepeatingSink(OwnFileSink):
    """Shows the records whose number ends in 77 twice."""

    def stored(self, prefix: str) -> Iterator[Stored]:
        for row in super().stored(prefix):
            yield from [row] * (2 if row.id.endswith("77") else 1)


class CopyingSink(OwnFileSink):
    """Stores the records whose number ends in 77 under another id as well."""

    def write(self, batch: Sequence[Result]) -> None:
        copied = [result for result in batch if result.id.endswith("77")]
        copies = [replace(each, record=replace(each.record, id=f"{each.id}-copy")) for each in copied]
        super().write([*batch, *copies])


class _ChangingSink(OwnFileSink):
    """Stores something else for the records whose number ends in 77."""

    def write(self, batch: Sequence[Result]) -> None:
        super().write([self._changed(result) if result.id.endswith("77") else result for result in batch])

    def _changed(self, result: Result) -> Result:
        return result


class MislabellingSink(_ChangingSink):
    """With a label that would be another's."""

    def _changed(self, result: Result) -> Result:
        return replace(result, prediction=Prediction("numbered_detection", 1.0))


class MisplacingSink(_ChangingSink):
    """With a position that is another's."""

    def _changed(self, result: Result) -> Result:
        position = result.record.position
        return replace(result, record=replace(result.record, position=position._replace(offset=position.offset + 1)))


class FlaggingSink(_ChangingSink):
    """As a detection, which it is not."""

    def _changed(self, result: Result) -> Result:
        return replace(result, is_detection=True)


class BufferingSink(OwnFileSink):
    """Says that it has stored what it only holds in memory until it is closed: its offsets are committed too early."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._held: list[Result] = []

    def write(self, batch: Sequence[Result]) -> None:
        self._held += batch

    def close(self) -> None:
        held, self._held = self._held, []
        super().write(held)
        super().close()


class SlowSink(OwnFileSink):
    """Keeps its promise, and takes its time: what is committed before all sinks have it is easily lost."""

    def write(self, batch: Sequence[Result]) -> None:
        sleep(0.1)
        super().write(batch)


class HopelessSink(OwnFileSink):
    """Never takes anything."""

    def write(self, batch: Sequence[Result]) -> None:
        msg = f"not {len(batch)}, not one"
        raise SinkUnavailableError(msg)


class AbruptSink(OwnFileSink):
    """Stores everything, and ends the whole consumer with code 3 when it is to be closed for good."""

    def close(self) -> None:
        was_open = self._connection is not None
        super().close()
        if was_open:
            os._exit(3)


class UnreadableSink:
    """Stores everything, and shows nothing."""

    name = "unreadable"
    takes = "all"

    def __init__(self, settings: Settings) -> None:
        self._sink = OwnFileSink(settings)

    def open(self) -> None:
        self._sink.open()

    def write(self, batch: Sequence[Result]) -> None:
        self._sink.write(batch)

    def close(self) -> None:
        self._sink.close()


class TextModel:
    """Answers ``any``, whatever it is given."""

    name = "text"
    version = "1"
    labels: Sequence[str] = ("any",)

    def __init__(self, settings: InferenceSettings) -> None:
        """Need none of them."""

    def load(self, device: str) -> None:
        """Have nothing to load."""

    def decode(self, payload: bytes) -> bytes:
        return payload

    def predict(self, inputs: Sequence[bytes]) -> list[Prediction]:
        return [Prediction("any", 1.0) for _ in inputs]


class GullibleModel(TextModel):
    """Takes what is no image for one, and says of a truncated image that it is too large."""

    def decode(self, payload: bytes) -> bytes:
        if payload.startswith(b"\xff\xd8\xff") and not payload.endswith(b"\xff\xd9"):
            raise BadRecordError(Reason.IMAGE_TOO_LARGE, "it is not")
        return payload


class NervousModel(TextModel):
    """Refuses the first record that ends in ``one`` and takes all others; dies of each that ends in ``die``.

    A refusal that dies with its batch is not heard of, and the record comes again: so the first one counts as refused
    only when the batch after it is predicted, by whichever process.
    """

    def decode(self, payload: bytes) -> bytes:
        if payload.endswith(b"one") and not Path("refused").exists():
            Path("refusing").touch()
            raise BadRecordError(Reason.UNDECODABLE, "for no reason")
        if payload.endswith(b"die"):
            os.kill(os.getpid(), signal.SIGKILL)
        return payload

    def predict(self, inputs: Sequence[bytes]) -> list[Prediction]:
        for before, after in (("answering", "refused"), ("refusing", "answering")):
            if Path(before).exists():
                Path(before).rename(after)
        return super().predict(inputs)
