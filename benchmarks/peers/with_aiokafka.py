"""A peer: FastAPI before Kafka with aiokafka, results in a dictionary in memory.

``uvicorn benchmarks.peers.with_aiokafka:api``; Kafka is at KAFKA_BOOTSTRAP_SERVER.
"""

import asyncio
import json
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel

REQUESTS: Final = "peer-requests"
RESULTS: Final = "peer-results"


class Submitted(BaseModel):
    """What clients send."""

    text: str


async def _collect(consumer: AIOKafkaConsumer, results: dict[str, str | None]) -> None:
    async for message in consumer:
        answer = json.loads(message.value)
        results[answer["id"]] = answer["label"]


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Start the producer and what reads results; end both with the application."""
    servers = os.environ["KAFKA_BOOTSTRAP_SERVER"]
    results: dict[str, str | None] = {}
    async with (
        AIOKafkaProducer(bootstrap_servers=servers, acks="all", enable_idempotence=True) as producer,
        AIOKafkaConsumer(
            RESULTS, bootstrap_servers=servers, group_id="peer-gateway", auto_offset_reset="earliest"
        ) as consumer,
    ):
        collecting = asyncio.create_task(_collect(consumer, results))
        yield {"producer": producer, "results": results}
        collecting.cancel()
        with suppress(asyncio.CancelledError):
            await collecting


api = FastAPI(lifespan=_lifespan)


@api.get("/health")
async def health() -> dict[str, str]:
    """Answer once it is up."""
    return {"status": "ok"}


@api.post("/predict", status_code=202)
async def submit(submitted: Submitted, request: Request) -> dict[str, str]:
    """Publish the request, and answer its id once the broker has it."""
    identity = uuid.uuid4().hex
    request.state.results[identity] = None
    value = json.dumps({"id": identity, "text": submitted.text}).encode()
    await request.state.producer.send_and_wait(REQUESTS, value, key=identity.encode())
    return {"request_id": identity}


@api.get("/predict/{identity}")
async def look(identity: str, request: Request) -> dict[str, str | None]:
    """Look the result up."""
    if identity not in request.state.results:
        raise HTTPException(404, "unknown id")
    return {"request_id": identity, "label": request.state.results[identity]}
