"""A dashboard for tests: its application in this process, over a store of its own."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from httpx2 import ASGITransport, AsyncClient

from velox.dashboard.app import build
from velox.dashboard.feed import Feed
from velox.dashboard.media import Media
from velox.dashboard.parts import Parts
from velox.dashboard.sqlite import SqliteResults
from velox.dashboard.wall import Wall
from velox.errors import BrokerUnavailableError, VeloxError
from velox.kafka.lag import Observer
from velox.records import Result
from velox.settings import Settings
from velox.sinks.sqlite import SqliteSink
from velox.tools.dlq.choice import Choice
from velox.tools.top.watch import Watch

Answer = TypeVar("Answer")
HOST = "http://localhost:8088"


class FakeLetters:
    """Dead letters in memory."""

    def __init__(self) -> None:
        self.handled: list[tuple[str, Choice]] = []

    def found(self) -> dict[str, Any]:
        return {"topic": "image_data.dlq", "open": 0, "handled": len(self.handled), "reasons": [], "letters": []}

    def one(self, source: str) -> dict[str, Any]:
        raise VeloxError(f"no dead letter of {source}")

    def handle(self, action: str, choice: Choice) -> dict[str, int]:
        self.handled.append((action, choice))
        return {"done": 1, "of": 1}


class FakeCameras:
    """Cameras that can be changed, and one that has a frame."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, Mapping[str, object]]] = []

    def change(self, action: str, said: Mapping[str, object]) -> None:
        self.changes.append((action, said))

    def frame(self, identity: str) -> bytes | None:
        return b"\xff\xd8\xff a frame" if identity == "camera_1" else None


class FakeTopic:
    """A topic on which nothing comes."""

    def new(self, timeout_s: float) -> list[Any]:
        return []

    def close(self) -> None:
        """Nothing to close."""


def no_kafka() -> Observer:
    raise BrokerUnavailableError("there is no Kafka in this test")


def dashboard(folder: Path, stored: Sequence[Result] = (), **told: str) -> Parts:
    """Make the parts over a store with these results; nothing runs, and nobody answers but the store."""
    settings = Settings.model_validate({"sinks": "sqlite,disk", "sqlite_path": folder / "velox.db", **told})
    if stored:
        sink = SqliteSink(settings)
        sink.open()
        sink.write(stored)
        sink.close()
    results = SqliteResults(settings)
    return Parts(
        settings=settings,
        results=results,
        feed=Feed(Watch([]), results),
        media=Media(settings, no_kafka, folder=folder / "discoveries"),
        letters=FakeLetters(),
        wall=Wall(FakeTopic, [], []),
        cameras=FakeCameras(),
    )


def without_store(parts: Parts) -> Parts:
    return replace(parts, results=None)


def ask(parts: Parts, questions: Callable[[AsyncClient], Awaitable[Answer]], *, host: str = HOST) -> Answer:
    """Ask the application as a browser would."""

    async def asked() -> Answer:
        async with AsyncClient(transport=ASGITransport(build(parts)), base_url=host) as client:
            return await questions(client)

    return asyncio.run(asked())
