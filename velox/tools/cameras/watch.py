"""Looks at cameras again and again, and shows how they are."""

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from itertools import count
from time import sleep

from rich.console import Console
from rich.live import Live

from velox.cameras.main import processes
from velox.errors import VeloxError
from velox.settings.readers import ReadingSettings
from velox.tools.cameras import view
from velox.tools.cameras.figures import Row, rows
from velox.tools.top.history import History
from velox.tools.up.scraping import Scraper

Show = Callable[[Sequence[Row]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to look."""

    every_s: float = 2.0
    once: bool = False
    as_json: bool = False


def run(
    settings: ReadingSettings, options: Options, *, cameras: Sequence[str] = (), consumers: Sequence[str] = ()
) -> int:
    """Show until interrupted, or once. Without addresses, processes are looked for on this machine.

    Raises:
        VeloxError: no process that reads cameras answers at the beginning.
    """
    ports = range(settings.cameras_port, settings.cameras_port + processes(settings))
    reading = [_scraper(address) for address in cameras] or [Scraper(port) for port in ports]
    predicting = [_scraper(address) for address in consumers] or [Scraper(settings.metrics_port)]
    histories = {scraper: History() for scraper in (*reading, *predicting)}

    def look() -> list[Row]:
        for scraper, history in histories.items():
            history.saw(scraper.samples())
        return rows([histories[each] for each in reading], [histories[each] for each in predicting])

    if not look():
        asked = ", ".join(cameras) or f"ports {ports.start} to {ports.stop - 1} of this machine"
        msg = f"no process that reads cameras answers at {asked}; start one (`velox cameras run`), or name where it "
        raise VeloxError(f"{msg}serves its metrics with --cameras HOST:PORT")
    with ExitStack() as screen, suppress(KeyboardInterrupt):
        show = _shower(options, screen)
        for _ in range(1) if options.once else count():
            sleep(options.every_s)
            show(look())
    return 0


def _scraper(address: str) -> Scraper:
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        msg = f"{address} is no address: write host:port, as localhost:8020"
        raise VeloxError(msg)
    return Scraper(int(port), host.strip("[]") or "127.0.0.1")


def _shower(options: Options, screen: ExitStack) -> Show:
    console = Console(highlight=False)
    if options.as_json:
        return lambda found: console.out(json.dumps([asdict(row) for row in found]))
    if options.once:
        return lambda found: console.print(view.table(found, most=None))
    if not console.is_terminal:
        return lambda found: console.out(view.line(found))
    live = screen.enter_context(Live(console=console, auto_refresh=False))
    return lambda found: live.update(view.table(found, most=console.height - 4), refresh=True)
