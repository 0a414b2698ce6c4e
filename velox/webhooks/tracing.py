"""Spans of attempts to deliver, in the traces of the requests whose results they carry."""

from velox.core.addresses import target
from velox.core.ladder import Answer
from velox.core.tracing import Spans, Value
from velox.errors import ForbiddenAddressError
from velox.requests.rows import Claim
from velox.webhooks.claims import Post


def traced(post: Post, spans: Spans) -> Post:
    """Have attempts make spans, where the request came with a trace."""

    async def attempt(claim: Claim) -> Answer:
        if not claim.trace:
            return await post(claim)
        told: dict[str, Value] = {
            "http.request.method": "POST",
            "server.address": _host(claim.request.webhook_url or ""),
            "velox.request.id": claim.request.id,
            "velox.webhook.attempt": claim.attempt,
        }
        span = spans.begin("webhook", "client", parent=claim.trace.encode(), attributes=told)
        error: str | None = "broken off"
        status: dict[str, int] = {}
        try:
            answer = await post(claim)
            error = None if answer.is_success else answer.error
            status = {} if answer.status is None else {"http.response.status_code": answer.status}
        finally:
            span.end(error=error, attributes=status)
        return answer

    return attempt


def _host(url: str) -> str:
    try:
        return target(url).host
    except ForbiddenAddressError:  # as the attempt will find
        return ""
