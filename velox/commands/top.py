"""``velox top``: where the time of running consumers goes."""

import argparse
import re
from typing import TYPE_CHECKING

from velox.commands import Commands
from velox.commands.arguments import duration

if TYPE_CHECKING:
    from velox.tools.top import Address


def add(commands: Commands) -> None:
    """Add the parser."""
    top = commands.add_parser(
        "top",
        help="show live which stage of running consumers is busy, and what devices are idle for",
        description="Reads the metrics of running consumers and shows the last ten seconds: how busy each stage is, "
        "what waits, how large batches are, how long what waits in Kafka will take. Below, one sentence names the "
        "bottleneck or, for devices that are idle, the cause, and what to change. Of several topics each has a row: "
        "those with the most records waiting first, then the busiest. On a terminal the table is redrawn; "
        "elsewhere it is a line each time. A consumer that goes away or starts again meanwhile is no error.",
        epilog="Busy: decode and inference as shares of the inference processes' time, sink of the writers'. What the "
        "causes mean: docs/operations.md, 'Where is the time going?'. Compose: velox top "
        "$(docker compose port consumer 8000).",
    )
    top.add_argument(
        "consumers",
        nargs="*",
        type=_address,
        metavar="HOST:PORT",
        help="where consumers serve their metrics (default: localhost, METRICS_PORT)",
    )
    top.add_argument("--every", type=duration, default=2.0, metavar="TIME", help="time between two looks (default: 2s)")
    top.add_argument("--once", action="store_true", help="look twice, show the table once and end")
    top.add_argument("--json", action="store_true", help="print one JSON object a line instead, for other programs")
    top.set_defaults(run=_run)


def _address(text: str) -> "Address":
    """Read ``host:port``, ``:port``, or ``[v6]:port``."""
    from velox.tools.top import Address

    match = re.fullmatch(r"(?:http://)?(\[[0-9a-fA-F:.]+\]|[^:/\[\]]*):(\d{1,5})(?:/.*)?", text)
    if match is None or not 0 < int(match[2]) < 65536:  # noqa: PLR2004 - the ports there are
        msg = f"{text!r} is no address: write host:port, as localhost:8000"
        raise argparse.ArgumentTypeError(msg)
    return Address(match[1].strip("[]") or "localhost", int(match[2]))


def _run(args: argparse.Namespace) -> int:
    from velox import settings
    from velox.tools.top import Address, Options, run

    addresses = args.consumers or [Address("localhost", settings.load().metrics_port)]
    return run(addresses, Options(every_s=args.every, once=args.once, as_json=args.json))
