"""Asks running consumers how their shadow compares."""

import json
import socket
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from velox import probing
from velox.errors import SettingsError, SystemUnavailableError
from velox.model_reports import read_reports
from velox.settings.models import read_models

_ANSWERS_S: Final = 5.0
Told = tuple[str, dict[str, Any] | None]
"""An address, and what it says; None where no version shadows."""


def ask_all(models_path: Path, model: str) -> list[Told]:
    """Ask each consumer that reports this model.

    Raises:
        SettingsError: there is no such model, or nobody reports it.
        SystemUnavailableError: a consumer does not answer.
    """
    entries = read_models(models_path)
    name = (entries[model].same_as or model) if model in entries else model
    reports = [report for report in read_reports(models_path).get(name, []) if report.port]
    if not reports:
        msg = f"no consumer of {model} reports beside {models_path}; name its metrics port: --at HOST:PORT"
        raise SettingsError(msg)
    here = socket.gethostname()
    return [ask(f"{'127.0.0.1' if each.host == here else each.host}:{each.port}") for each in reports]


def ask(address: str) -> Told:
    """Ask one consumer, by the address of its metrics.

    Raises:
        SettingsError: it is no address.
        SystemUnavailableError: nobody answers there, or somebody else does.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        msg = f"--at {address}: write HOST:PORT"
        raise SettingsError(msg)
    try:
        status, body = probing.ask(int(port), "/comparison", host=host, timeout_s=_ANSWERS_S)
        return address, None if status == HTTPStatus.NOT_FOUND else dict(json.loads(body))
    except (OSError, ValueError, TypeError) as error:
        msg = f"{address} says nothing of a comparison: {error}; after a change, ask again in a few seconds"
        raise SystemUnavailableError(msg) from error
