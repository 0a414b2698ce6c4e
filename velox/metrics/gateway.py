"""What a gateway measures."""

from typing import Final

from velox.metrics.metric import Metrics, counter, gauge, histogram

_SHORT_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_HTTP_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_ROWS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class GatewayMetrics(Metrics):
    """The catalogue of a gateway."""

    http = counter(
        "velox_http_requests_total",
        "HTTP requests answered, by route (its template), method and status.",
        "Status 503: see velox_ready of the gateway and its log; 429: workers are behind, add some, or a client asks "
        "too often; 401: a client without a good API key.",
        labels=("route", "method", "status"),
    )
    http_seconds = histogram(
        "velox_http_seconds",
        "Seconds until the first byte of an answer, by route; with `wait` or events, what the client waited for.",
        "Rising on the routes that submit: velox_accept_seconds says whether the store or Kafka is slow.",
        labels=("route",),
        buckets=_HTTP_S,
    )
    http_active = gauge(
        "velox_http_active_requests",
        "HTTP requests that are being answered.",
        "Growing: clients wait for results (velox_waiters), or the store or Kafka is slow (velox_accept_seconds).",
    )
    requests = counter(
        "velox_requests_total",
        "Requests by model and outcome: accepted, not_accepted (Kafka did not take the record), cancelled.",
        "not_accepted: Kafka is away or refuses; the log says why.",
        labels=("model", "outcome"),
    )
    pending = gauge(
        "velox_requests_pending",
        "Requests in the store without a result, by model.",
        "Growing: workers are behind or away; from MAX_PENDING on, requests are refused with 429.",
        labels=("model",),
    )
    accept = histogram(
        "velox_accept_seconds",
        "Seconds that accepting a request takes, by step: enter (the store), produce (Kafka's acknowledgement).",
        "The step that grows is the slow system.",
        labels=("step",),
        buckets=_SHORT_S,
    )
    store = histogram(
        "velox_store_seconds",
        "Seconds that a statement of the store takes, by statement.",
        "Rising: the database is busy; look at it, or spread the load.",
        labels=("statement",),
        buckets=_SHORT_S,
    )
    store_batch = histogram(
        "velox_store_batch",
        "Rows that a statement of the store is about, by statement.",
        "Near 1,000 for long: the database is what limits the rate.",
        labels=("statement",),
        buckets=_ROWS,
    )
    waiters = gauge(
        "velox_waiters",
        "Clients that wait for a result: by `wait`, or by a stream of events.",
        "Growing while velox_requests_pending does: workers are behind.",
    )
    ready = gauge(
        "velox_gateway_ready",
        "1 when store and Kafka answer, else 0.",
        "0: /readyz says which does not, and why.",
    )

    def serves(self, model: str) -> None:
        """Show what is counted of this model from now on: a rate needs the zero before the first request."""
        for outcome in ("accepted", "not_accepted", "cancelled"):
            self.requests.labels(model, outcome)
