"""How arguments are written that several commands share."""

import argparse
import re


def use_pipeline_file(path: str) -> None:
    """Have settings read from this file too, also by the processes that the command starts."""
    from velox import settings

    settings.name_pipeline_file(path)


def duration(text: str) -> float:
    """Read ``20s``, ``5m``, ``1h`` or plain seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if match is None:
        msg = f"{text!r} is no time: write 20s, 5m or 1h"
        raise argparse.ArgumentTypeError(msg)
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def share(text: str) -> float:
    """Read ``1%`` or ``0.01``."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", text)
    value = float(match[1]) / (100 if match[2] else 1) if match else -1
    if not 0 <= value <= 1:
        msg = f"{text!r} is no share: write 1% or 0.01"
        raise argparse.ArgumentTypeError(msg)
    return value
