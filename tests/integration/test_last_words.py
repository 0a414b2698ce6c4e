"""A real inference process: what it writes to its standard error is in the log, the last thing before its end too."""

import os
from collections.abc import Sequence

import pytest

from tests.e2e.fragile import FragileModel
from tests.e2e.pipeline import wait_until
from tests.fakes import make_record
from velox.consumer.dispatch import Dispatcher
from velox.core.deadline import Deadline
from velox.metrics.consumer import ConsumerMetrics
from velox.records import Prediction
from velox.settings import Settings


class TalkativeModel(FragileModel):
    """Says something as libraries do, past Python; then ``abort`` ends its process as they do."""

    def predict(self, inputs: Sequence[str]) -> Sequence[Prediction]:
        for text in inputs:
            os.write(2, f"native code says {text}\n".encode())
            if text == "abort":
                os.abort()
        return super().predict(inputs)


def test_what_native_code_writes_is_logged_and_its_last_words_as_well(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(model=f"{__name__}:TalkativeModel", batch_size=1)
    dispatcher = Dispatcher(settings, ["cpu"], ConsumerMetrics())
    try:
        dispatcher.start(lambda _answered: None)
        dispatcher.submit([make_record(0, payload=b"hello"), make_record(1, payload=b"abort")])
        for words in ("hello", "abort"):
            line = f": native code says {words}"
            wait_until(lambda: any(line in said for said in caplog.messages), what=line)  # noqa: B023 - at once
    finally:
        assert dispatcher.close(Deadline(10))
    assert "native code" not in capfd.readouterr().err
