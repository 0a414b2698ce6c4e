"""Cameras of the network: a real RTSP server, that goes and comes back."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.conftest import PipelineFactory, pipelines
from tests.e2e.pipeline import CommandProgram, wait_until
from tests.e2e.test_cameras import Site, ledger
from tests.servers.kafka import KafkaServer
from tests.servers.mongo import MongoServer
from tests.servers.rtsp import RtspServer
from velox.core.cameras import State

GATE, YARD = 12, 8
"""Cameras of one server, and of another."""


def state_of(cameras: CommandProgram, camera: str) -> State:
    """How a camera is, as its process says."""
    states = (state for state in State if cameras.metric("velox_camera_state", camera=camera, state=state.value))
    return next(states, State.CONNECTING)


@pytest.fixture
def pipeline(tmp_path: Path, kafka: KafkaServer, mongo: MongoServer) -> Iterator[PipelineFactory]:
    with pipelines(tmp_path, kafka, mongo, database="cameras") as make:
        yield make


@pytest.fixture
def site(tmp_path: Path, kafka: KafkaServer, pipeline: PipelineFactory, small_model: Path) -> Iterator[Site]:
    made = Site(tmp_path, kafka, pipeline, small_model)
    yield made
    made.end()


@pytest.mark.timeout(300)
def test_cameras_of_a_server_that_dies_are_offline_come_back_and_the_others_notice_nothing(site: Site) -> None:
    with ExitStack() as stack:
        gate = stack.enter_context(RtspServer(GATE))
        yard = stack.enter_context(RtspServer(YARD))
        urls = [gate.url(n) for n in range(1, GATE + 1)] + [yard.url(n) for n in range(1, YARD + 1)]
        site.describe(*({"id": site.camera(n), "url": url} for n, url in enumerate(urls, 1)))
        cameras = site.read(CAMERAS_PER_PROCESS="100")
        consumer = site.pipeline.consume(FRESHNESS="latest", STALE_AFTER_MS="5000")
        everybody = range(1, GATE + YARD + 1)

        def live() -> list[int]:
            """Those that send; on a busy machine they may do so late."""
            found = [state_of(cameras, site.camera(n)) for n in everybody]
            return [n for n, state in zip(everybody, found, strict=True) if state in {State.LIVE, State.LATE}]

        wait_until(lambda: len(live()) == GATE + YARD, what=lambda: f"live: {live()}\n{cameras.output}", timeout_s=90)
        wait_until(
            lambda: min(site.rows_of(n) for n in everybody) >= 3,
            what=lambda: f"all are predicted: {[site.rows_of(n) for n in everybody]}\n{consumer.output}",
        )

        yard.kill()
        wait_until(lambda: len(live()) == GATE, what=lambda: f"those of the yard are offline: {live()}")
        others = {n: site.rows_of(n) for n in range(1, GATE + 1)}
        wait_until(lambda: all(site.rows_of(n) > rows + 5 for n, rows in others.items()), what="the others go on")
        yard.start()
        wait_until(lambda: len(live()) == GATE + YARD, what=lambda: f"all are back: {live()}", timeout_s=90)

        assert cameras.stop() == 0, cameras.output
    assert "is offline" in cameras.output
    assert "is back" in cameras.output


@pytest.mark.timeout(180)
def test_every_frame_of_every_camera_is_published_or_dropped_for_a_cause(site: Site) -> None:
    with RtspServer(10, fps=10) as server:
        policies = ("latest", "all", "sample(2)")
        site.describe(*({"id": site.camera(n), "url": server.url(n), "policy": policies[n % 3]} for n in range(1, 11)))
        cameras = site.read(CAMERAS_PER_PROCESS="100")
        wait_until(
            lambda: min(ledger(cameras, site.camera(n))["published"] for n in range(1, 11)) >= 20,
            what=lambda: cameras.output,
        )
        site.run("cameras", "pause", f"{site.name}_{{1..10}}")

        def balances() -> dict[int, int]:
            found = {n: ledger(cameras, site.camera(n)) for n in range(1, 11)}
            return {n: counts["decoded"] - (counts.total() - counts["decoded"]) for n, counts in found.items()}

        wait_until(lambda: not any(balances().values()), what=lambda: f"decoded = published + dropped: {balances()}")
        published = {n: len(site.pipeline.records(site.camera(n))) for n in range(1, 11)}
        assert {n: ledger(cameras, site.camera(n))["published"] for n in range(1, 11)} == published
