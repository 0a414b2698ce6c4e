"""Looks at consumers again and again, and shows what the last seconds were."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import count
from time import sleep
from typing import NamedTuple

from rich.console import Console
from rich.live import Live

from velox.errors import VeloxError
from velox.metrics.consumer import ConsumerMetrics
from velox.tools.top import view
from velox.tools.top.figures import Figures, figures
from velox.tools.top.history import History
from velox.tools.top.verdict import Verdict, judge
from velox.tools.up.scraping import Scraper

Show = Callable[[Figures, Verdict, Mapping[str, str]], None]


class Address(NamedTuple):
    """Where a consumer serves its metrics."""

    host: str
    port: int

    def __str__(self) -> str:
        """Write it as it was given."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to look."""

    every_s: float = 2.0
    once: bool = False
    as_json: bool = False


class Watch:
    """Consumers and what is known of each."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        """Look at none yet."""
        self._scrapers = {address: Scraper(address.port, address.host) for address in addresses}
        self._histories = {address: History() for address in addresses}

    def look(self) -> dict[str, str]:
        """Ask each; answer which are not at work, and why."""
        absent = {}
        for address, probe in self._scrapers.items():
            history = self._histories[address]
            history.saw(probe.page())
            if not history.is_known:
                absent[str(address)] = "does not answer"
            elif not history.now(ConsumerMetrics.ready.name) and (why := probe.unready_because()):
                absent[str(address)] = why
        return absent

    @property
    def histories(self) -> list[History]:
        """What is known."""
        return list(self._histories.values())


def run(addresses: Sequence[Address], options: Options) -> int:
    """Show until interrupted, or once.

    Raises:
        VeloxError: none of them answers at the beginning.
    """
    watch = Watch(addresses)
    watch.look()
    if not any(history.is_known for history in watch.histories):
        asked = ", ".join(map(str, addresses))
        msg = (
            f"no consumer answers at {asked}; start one (`velox consume`), or name where it serves its metrics, "
            "`velox top HOST:PORT`: METRICS_PORT, and its log says `Metrics and health on port …`"
        )
        raise VeloxError(msg)
    with ExitStack() as screen, suppress(KeyboardInterrupt):
        show = _shower(options, screen)
        for _ in range(1) if options.once else count():
            sleep(options.every_s)
            absent = watch.look()
            now = figures(watch.histories)
            show(now, judge(now), absent)
    return 0


def _shower(options: Options, screen: ExitStack) -> Show:
    console = Console(highlight=False)
    if options.as_json:
        return lambda *state: console.out(view.as_json(*state))
    if options.once:
        return lambda *state: console.print(view.table(*state))
    if not console.is_terminal:
        return lambda *state: console.out(view.line(*state))
    live = screen.enter_context(Live(console=console, auto_refresh=False))
    return lambda *state: live.update(view.table(*state), refresh=True)
