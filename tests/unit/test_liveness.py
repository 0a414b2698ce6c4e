"""Liveness fails only for what a restart mends, and leaves the evidence in the log once."""

import threading

import pytest

from velox.consumer.liveness import Liveness


def stand_still(until: threading.Event) -> None:
    until.wait()


def test_it_is_alive_while_no_part_is_stuck(capfd: pytest.CaptureFixture[str]) -> None:
    assert Liveness(lambda: None, lambda: None)() is None
    assert capfd.readouterr().out == ""


def test_the_first_failure_shows_where_every_thread_stands_and_later_ones_do_not(
    capfd: pytest.CaptureFixture[str],
) -> None:
    end = threading.Event()
    threading.Thread(target=stand_still, args=(end,), daemon=True).start()
    liveness = Liveness(lambda: None, lambda: "it does not turn")
    assert liveness() == "it does not turn"
    assert "stand_still" in capfd.readouterr().out
    assert liveness() == "it does not turn"
    assert "stand_still" not in capfd.readouterr().out
    end.set()


def test_what_recovers_is_alive_again() -> None:
    causes = iter(["it does not turn", None])
    liveness = Liveness(lambda: next(causes))
    assert (liveness(), liveness()) == ("it does not turn", None)
