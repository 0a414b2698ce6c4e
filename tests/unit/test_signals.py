"""The first SIGTERM or Ctrl-C asks to end in order, the second to end at once; before and after, others hear them."""

import signal
from collections.abc import Iterator

import pytest

from velox.signals import StopRequest

BOTH = [signal.SIGTERM, signal.SIGINT]


@pytest.fixture
def unheard() -> Iterator[list[int]]:
    """Signals that nobody took over while it was entered."""
    numbers: list[int] = []
    before = {number: signal.signal(number, lambda number, _frame: numbers.append(number)) for number in BOTH}
    yield numbers
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", BOTH)
def test_the_first_is_a_request_and_the_second_is_urgent(unheard: list[int], number: signal.Signals) -> None:
    with StopRequest() as stop:
        assert (stop.is_made(), stop.is_urgent()) == (False, False)
        signal.raise_signal(number)
        assert (stop.is_made(), stop.is_urgent()) == (True, False)
        signal.raise_signal(number)
        assert (stop.is_made(), stop.is_urgent()) == (True, True)
        signal.raise_signal(number)
        assert (stop.is_made(), stop.is_urgent()) == (True, True)
    assert unheard == []


@pytest.mark.parametrize(("first", "second"), [BOTH, BOTH[::-1]])
def test_it_does_not_matter_which_of_the_two_comes(
    unheard: list[int], first: signal.Signals, second: signal.Signals
) -> None:
    with StopRequest() as stop:
        signal.raise_signal(first)
        signal.raise_signal(second)
        assert stop.is_urgent()


@pytest.mark.parametrize("number", BOTH)
def test_afterwards_they_are_whose_they_were(unheard: list[int], number: signal.Signals) -> None:
    with pytest.raises(KeyError), StopRequest() as stop:
        raise KeyError("whatever ends it")
    signal.raise_signal(number)
    assert unheard == [number]
    assert not stop.is_made()
