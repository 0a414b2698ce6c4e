"""What a webhook worker measures."""

from itertools import product
from typing import Final

from velox.core.ladder import Cause
from velox.core.states import WebhookState
from velox.metrics.metric import Metrics, counter, gauge, histogram

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60)
_SHORT: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class WebhookMetrics(Metrics):
    """The catalogue of a webhook worker."""

    attempts = counter(
        "velox_webhook_attempts_total",
        "Attempts to deliver, by what the delivery is in then (delivered; due again; gone: answered 410; exhausted: "
        "given up) and by what went wrong (none, status, timeout, unreachable, refused: a forbidden address).",
        "Many that are not delivered: `velox webhooks log ID` shows what a receiver answers. Any refused: somebody "
        "tries to reach what is inside, or WEBHOOK_ALLOW lacks a network.",
        labels=("outcome", "cause"),
    )
    seconds = histogram(
        "velox_webhook_seconds",
        "Seconds from an attempt's beginning to its answer, or to its failure.",
        "Near WEBHOOK_TIMEOUT_S: receivers work before they answer; they should answer first.",
        buckets=_SECONDS,
    )
    due = gauge(
        "velox_webhooks_due",
        "Deliveries that are due now and have not been begun; the same at every worker of one store.",
        "Growth: start another worker, or raise WEBHOOK_CONCURRENCY; see velox_destinations_open.",
    )
    lag = gauge(
        "velox_webhook_lag_seconds",
        "How long the delivery that has waited longest has been due; 0 when none is.",
        "As velox_webhooks_due.",
    )
    open_destinations = gauge(
        "velox_destinations_open",
        "Destinations that get none for now, because they are down or have asked to wait.",
        "The log names them; tell who runs them.",
    )
    store_up = gauge(
        "velox_webhook_store_up",
        "1 while the database of requests can be used, else 0.",
        "At 0 nothing is delivered: see REQUESTS_URL, and the cause at /readyz.",
    )
    store_seconds = histogram(
        "velox_webhook_store_seconds",
        "Seconds that one call of the database took, by what it does.",
        "A rise: the database is short of CPU or of disk, or its tables need vacuuming.",
        labels=("call",),
        buckets=_SHORT,
    )

    def __init__(self) -> None:
        """Create them all, at zero."""
        super().__init__()
        self.attempts.labels(WebhookState.DELIVERED.value, Cause.NONE.value)
        self.attempts.labels(WebhookState.GONE.value, Cause.STATUS.value)
        failures = [cause for cause in Cause if cause is not Cause.NONE]
        for state, cause in product((WebhookState.DUE, WebhookState.EXHAUSTED), failures):
            self.attempts.labels(state.value, cause.value)
