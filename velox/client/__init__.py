"""The Python client of the gateway: ``Client``, ``AsyncClient``, and ``verify_webhook`` for who receives results."""

from velox.client.aio import AsyncClient
from velox.client.client import Client
from velox.client.errors import (
    AccessError,
    BusyError,
    ClientError,
    GatewayError,
    InvalidRequestError,
    NotFoundError,
    RequestFailedError,
    UnreachableError,
    UnreadableError,
    WaitTimeoutError,
    WebhookError,
)
from velox.client.values import Accepted, Failure, Model, Page, Question, Refused, Request, Score, Webhook
from velox.client.webhooks import verify_webhook
from velox.core.states import State

__all__ = [
    "Accepted",
    "AccessError",
    "AsyncClient",
    "BusyError",
    "Client",
    "ClientError",
    "Failure",
    "GatewayError",
    "InvalidRequestError",
    "Model",
    "NotFoundError",
    "Page",
    "Question",
    "Refused",
    "Request",
    "RequestFailedError",
    "Score",
    "State",
    "UnreachableError",
    "UnreadableError",
    "WaitTimeoutError",
    "Webhook",
    "WebhookError",
    "verify_webhook",
]
