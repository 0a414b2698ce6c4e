"""Asks another process of ours over HTTP: what it says on the port of its metrics and probes."""

import http.client
import json
from contextlib import closing
from http import HTTPStatus
from typing import Final, NamedTuple

HERE: Final = "127.0.0.1"
_ANSWERS_S: Final = 1.0


class Said(NamedTuple):
    """An answer."""

    status: int
    body: str


def ask(port: int, path: str, *, host: str = HERE, timeout_s: float = _ANSWERS_S) -> Said:
    """Get a page.

    Raises:
        OSError: nobody answers there in time, or not by HTTP.
    """
    with closing(http.client.HTTPConnection(host, port, timeout=timeout_s)) as connection:
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return Said(response.status, response.read().decode(errors="replace"))
        except http.client.HTTPException as error:
            raise OSError(f"no answer by HTTP: {error!r}") from error


def unready_because(port: int, *, host: str = HERE) -> str | None:
    """Answer why a process is not ready, as it says itself; None when it is."""
    try:
        status, body = ask(port, "/readyz", host=host)
    except OSError:
        return "starting"
    if status == HTTPStatus.OK:
        return None
    try:
        return str(json.loads(body)["cause"])
    except (ValueError, KeyError, TypeError):
        return f"/readyz answers {status}"
