"""What was checked, with what outcome, in how many seconds."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Report:
    """Prints each check when it ends; a failed one does not keep the others from being tried."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self.facts: list[str] = []
        self.passed: list[str] = []
        self.failed: list[str] = []

    def say(self, text: str) -> None:
        """One line, at once."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def fact(self, text: str) -> None:
        """What a reader of the summary must know, whatever passed."""
        self.facts.append(text)
        self.say(f"     {text}")

    @contextmanager
    def check(self, sentence: str) -> Iterator[None]:
        """The block passes unless it raises. Ctrl-C and the like go through."""
        began = time.monotonic()
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever goes wrong is the outcome of this check
            self.failed.append(sentence)
            self.say(f"FAIL {time.monotonic() - began:6.1f} s  {sentence}\n     {type(error).__name__}: {error}")
        else:
            self.passed.append(sentence)
            self.say(f"pass {time.monotonic() - began:6.1f} s  {sentence}")

    def summary(self) -> int:
        """Print the totals; answers the exit code."""
        for fact in self.facts:
            self.say(f"- {fact}")
        self.say(f"{len(self.passed)} passed, {len(self.failed)} failed in {time.monotonic() - self._began:.0f} s")
        for sentence in self.failed:
            self.say(f"failed: {sentence}")
        return 1 if self.failed else 0


def eventually(what: str, holds: Callable[[], object], *, within_s: float = 60) -> None:
    """Ask until the answer is true; an error counts as not yet.

    Raises:
        AssertionError: It never was; with the last answer or error.
    """
    deadline = time.monotonic() + within_s
    while True:
        try:
            last = holds()
        except Exception as error:  # noqa: BLE001 - servers come and go here; the last error is reported
            last, held = error, False
        else:
            held = bool(last)
        if held:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {within_s:g} s; last: {last!r}")
        time.sleep(0.5)
