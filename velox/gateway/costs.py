"""What an answer has cost, in headers."""

from fastapi import Response

from velox.requests.rows import Request


def tell_costs(request: Request, response: Response) -> None:
    """Add ``velox-queue-ms``, ``velox-inference-ms`` (both of the request's batch) and ``velox-model-version``."""
    for name, key in (("velox-queue-ms", "queued_s"), ("velox-inference-ms", "inferred_s")):
        seconds = (request.timings or {}).get(key)
        if seconds is not None:
            response.headers[name] = f"{1000 * seconds:.2f}"
    if request.version and request.completed_at is not None:
        response.headers["velox-model-version"] = request.version
