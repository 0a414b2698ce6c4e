"""How long the model alone takes for one record, a process of its own: ``python -m benchmarks.bare_call --help``."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from statistics import median

from velox.allocator import keep_large_blocks
from velox.consumer.topology import placements, prepare_environment
from velox.loading import load_class
from velox.models.model import Model
from velox.settings import load
from velox.sources import open_source


def main(argv: Sequence[str] | None = None) -> int:
    """Call the model as an inference process does, one record at a time; write medians in milliseconds."""
    args = _parser().parse_args(argv)
    settings = load()
    devices = placements(settings)
    prepare_environment(len(devices))
    keep_large_blocks()
    model: Model = load_class(settings.model)(settings)
    model.load(devices[0])
    payloads = [item.payload for item in islice(open_source(settings, "shapes"), args.calls)]
    figures = {
        "in_a_row_ms": 1000 * median(timed(model, payload) for payload in payloads),
        "paced_ms": 1000 * median(timed(model, payload, wait_s=args.every) for payload in payloads),
    }
    args.result.write_text(json.dumps(figures))
    return 0


def timed(model: Model, payload: bytes, *, wait_s: float = 0.0) -> float:
    """Wait, then answer how many seconds decoding and predicting take."""
    time.sleep(wait_s)
    began = time.monotonic()
    model.predict([model.decode(payload)])
    return time.monotonic() - began


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bare_call", description=main.__doc__)
    parser.add_argument("--calls", type=int, required=True, metavar="N", help="calls in a row, and again with pauses")
    parser.add_argument("--every", type=float, required=True, metavar="S", help="length of a pause")
    parser.add_argument("--result", type=Path, required=True, metavar="PATH", help="file for the medians (JSON)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
