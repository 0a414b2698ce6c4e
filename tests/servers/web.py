"""Asking local servers whose answers are JSON."""

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from tests.servers.process import HOST


def is_ok(port: int, path: str) -> bool:
    """Whether the page answers 200."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def get_json(port: int, path: str, **parameters: str) -> Any:  # noqa: ANN401 - the caller knows the shape
    """The answer to a GET; an `AssertionError` with the server's own complaint when it refuses."""
    url = f"http://{HOST}:{port}{path}?{urllib.parse.urlencode(parameters)}"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            msg = f"{error.code} for {path} {parameters}: {error.read().decode(errors='replace')}"
        raise AssertionError(msg) from error
