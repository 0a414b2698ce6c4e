"""What stands between Kafka and a model server: starts the server, posts each record to it, stores what it answers.

``python -m benchmarks.peers.http_client litserve`` or ``mosec``; the server gets its port in PORT.
"""

import asyncio
import base64
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import httpx
from confluent_kafka import TopicPartition

from benchmarks.peers.job import Answer, Place, Record, Store
from benchmarks.peers.plain import records_of, subscribe

_WAIT_S = 0.1
_BATCHES_A_WAVE = 2
_WAVES_IN_FLIGHT = 3
_START_S = 120.0
_KEEP_ALIVE_S = 2.0
"""Less than the 5 s after which uvicorn closes an idle connection, maybe just as the next request goes out on it."""


def as_json(jpeg: bytes) -> dict[str, Any]:
    """LitServe's requests are JSON by default; images go as base64."""
    return {"json": {"image": base64.b64encode(jpeg).decode()}}


def as_bytes(jpeg: bytes) -> dict[str, Any]:
    """Mosec hands the body over as it came."""
    return {"content": jpeg}


class Server(NamedTuple):
    """How to start one, see that its model is loaded, and ask it."""

    module: str
    health: str
    path: str
    body: Callable[[bytes], dict[str, Any]]


SERVERS = {
    "litserve": Server("benchmarks.peers.litserve_server", "/health", "/predict", as_json),
    "mosec": Server("benchmarks.peers.mosec_server", "/", "/inference", as_bytes),
}


async def main(server: Server) -> None:
    """Start the server, then consume until killed."""
    place = Place.given()
    store = Store(place)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", server.module]
    process = subprocess.Popen(command, env={**os.environ, "PORT": str(port), "OMP_NUM_THREADS": "1"})
    connections = (_WAVES_IN_FLIGHT + 1) * _BATCHES_A_WAVE * place.batch
    limits = httpx.Limits(max_connections=connections, keepalive_expiry=_KEEP_ALIVE_S)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", limits=limits, timeout=60.0) as client:
        await _until_ready(client, server.health, process)
        consumer = subscribe(place)
        waves: asyncio.Queue[tuple[list[Record], asyncio.Task[list[Answer]]]] = asyncio.Queue(_WAVES_IN_FLIGHT)

        async def ask() -> None:
            while True:
                polled = await asyncio.to_thread(consumer.consume, _BATCHES_A_WAVE * place.batch, _WAIT_S)
                if records := records_of(polled):
                    await waves.put((records, asyncio.create_task(_ask(client, server, records))))

        async def keep() -> None:
            while True:
                records, answers = await waves.get()
                await asyncio.to_thread(store.write, records, await answers)
                await asyncio.to_thread(consumer.commit, offsets=_after(place.topic, records), asynchronous=False)

        await asyncio.gather(ask(), keep())


async def _until_ready(client: httpx.AsyncClient, path: str, server: subprocess.Popen[bytes]) -> None:
    async with asyncio.timeout(_START_S):
        while server.poll() is None:
            with suppress(httpx.TransportError):
                if (await client.get(path)).is_success:
                    return
            await asyncio.sleep(_WAIT_S)
    raise SystemExit(f"the server ended with code {server.returncode}")


async def _ask(client: httpx.AsyncClient, server: Server, records: Sequence[Record]) -> list[Answer]:
    async def ask(record: Record) -> Answer:
        response = await client.post(server.path, **server.body(record.jpeg))
        response.raise_for_status()
        answer = response.json()
        return answer["label"], answer["confidence"]

    return await asyncio.gather(*(ask(record) for record in records))


def _after(topic: str, records: Sequence[Record]) -> list[TopicPartition]:
    """Waves are stored in the order they were polled, so the last offset of each partition says all."""
    last = {record.partition: record.offset for record in records}
    return [TopicPartition(topic, partition, offset + 1) for partition, offset in last.items()]


if __name__ == "__main__":
    asyncio.run(main(SERVERS[sys.argv[1]]))
