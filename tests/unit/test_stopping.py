"""The first signal is found between two steps; the second acts as it always does."""

import signal
from collections.abc import Iterator

import pytest

from velox.models.stopping import Stopped, StopSignals


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Let Ctrl-C act as in a terminal: what a shell runs in the background begins with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_waits_for_the_next_check(number: signal.Signals, code: int) -> None:
    with StopSignals() as signals:
        signals.check()
        signal.raise_signal(number)
        with pytest.raises(Stopped, match=number.name) as caught:
            signals.check()
    assert caught.value.exit_code == code


def test_the_second_signal_stops_at_once() -> None:
    with StopSignals():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_afterwards_signals_act_as_before() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopSignals():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before
