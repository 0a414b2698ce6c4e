"""Asks a gateway whether it is ready, and for one prediction: what `helm test` runs, and cd.yml after it."""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from typing import Any

URL = os.environ["GATEWAY_URL"]
ENDS_AT = time.monotonic() + float(os.environ.get("TIMEOUT_S", "60"))


def ask(path: str, body: dict[str, str] | None = None) -> dict[str, Any]:
    """Ask once; an answer of 4xx or 5xx is an error."""
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get("API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + path, data, headers)  # noqa: S310 - the address is the deployment's own
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the same
        return dict(json.load(answer))


def insist(path: str, body: dict[str, str] | None = None) -> dict[str, Any]:
    """Ask until it is answered: pods may just have been exchanged."""
    while True:
        try:
            return ask(path, body)
        except OSError as error:
            refused = isinstance(error, urllib.error.HTTPError) and error.code in {400, 401, 403, 422}
            if refused or time.monotonic() > ENDS_AT:
                raise
            time.sleep(1)


def predict(text: str) -> dict[str, Any]:
    """Have a text judged, by gateway, broker, worker and store."""
    identity = insist("/predict", {"text": text})["request_id"]
    while True:
        answer = insist(f"/predict/{identity}")
        if answer["status"] != "pending":
            return answer
        if time.monotonic() > ENDS_AT:
            raise SystemExit(f"no result of {identity} in time: are there workers, and what does their /readyz say?")
        time.sleep(0.5)


def main() -> int:
    """Ask, say what came, and answer the exit code."""
    sys.stdout.write(f"ready: {insist('/readyz')}\n")
    text = os.environ.get("TEXT")
    if not text:
        return 0
    result = predict(text)
    sys.stdout.write(f"predicted: {result}\n")
    return 0 if result["status"] == "completed" else 1


if __name__ == "__main__":
    sys.exit(main())
