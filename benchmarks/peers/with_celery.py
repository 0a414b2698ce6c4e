"""A peer: FastAPI before Celery, Redis as its broker and for its results; late acknowledgements, as its pages advise.

``celery -A benchmarks.peers.with_celery worker`` and ``uvicorn benchmarks.peers.with_celery:api``; Redis is at
REDIS_URL.
"""

import os
from typing import Final

from celery import Celery
from celery.result import AsyncResult
from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.peers.sentiment import sentiment

VISIBILITY_TIMEOUT_S: Final = 10
"""Longer than any task takes, as Celery asks for; by default an hour, in which tasks would count as lost."""
_URL: Final = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")
_DONE: Final = "SUCCESS"

tasks = Celery("peer", broker=_URL, backend=_URL)
tasks.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": VISIBILITY_TIMEOUT_S},
)
api = FastAPI()


class Submitted(BaseModel):
    """What clients send."""

    text: str


@tasks.task(name="predict")
def predict(text: str) -> str:
    """Answer the text's label."""
    return sentiment(text)


@api.get("/health")
def health() -> dict[str, str]:
    """Answer once it is up."""
    return {"status": "ok"}


@api.post("/predict", status_code=202)
def submit(submitted: Submitted) -> dict[str, str]:
    """Queue a task; its id is the answer."""
    return {"request_id": predict.delay(submitted.text).id}


@api.get("/predict/{identity}")
def look(identity: str) -> dict[str, str | None]:
    """Look the result up; Celery does not tell a task that it does not know from one that waits."""
    result: AsyncResult[str] = AsyncResult(identity, app=tasks)
    return {"request_id": identity, "label": result.result if result.state == _DONE else None}
