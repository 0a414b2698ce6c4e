"""Who is compared with Velox, with which settings, and what each of them promises."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

CORES = len(os.sched_getaffinity(0))
_ONE_THREAD = {"OMP_NUM_THREADS": "1"}
_OWN_THREADS = f"1 process, torch's own threads ({CORES})"
_AT_LEAST_ONCE = "at least once: offsets are committed after storing"


@dataclass(frozen=True, slots=True)
class Peer:
    """One row of the comparison."""

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    """Distributions whose versions are shown, besides torch's."""
    is_in_project: bool = False
    """Whether it runs in the project's own environment: it needs nothing that Velox does not have."""
    environment: Mapping[str, str] = field(default_factory=dict)
    settings: str = ""
    guarantee: str = _AT_LEAST_ONCE


PEERS = (
    Peer(
        name="plain loop",
        module="plain",
        arguments=("1",),
        libraries=("confluent-kafka",),
        is_in_project=True,
        settings=f"`consume(n)`, predict, store, commit in turn; {_OWN_THREADS}",
    ),
    Peer(
        name="plain loop, one a core",
        module="plain",
        arguments=(str(CORES),),
        libraries=("confluent-kafka",),
        is_in_project=True,
        environment=_ONE_THREAD,
        settings=f"the same in {CORES} processes of one consumer group, 1 thread each",
    ),
    Peer(
        name="FastStream",
        module="with_faststream",
        libraries=("faststream", "confluent-kafka"),
        settings=f"batch subscriber with `max_records`, `AckPolicy.NACK_ON_ERROR`, own decoder; {_OWN_THREADS}",
    ),
    Peer(
        name="Quix Streams",
        module="with_quix",
        libraries=("quixstreams", "confluent-kafka"),
        settings=f"a `BatchingSink` predicts and stores each partition's part of 256 records; {_OWN_THREADS}",
    ),
    Peer(
        name="LitServe",
        module="http_client",
        arguments=("litserve",),
        libraries=("litserve", "httpx", "confluent-kafka"),
        settings=f"{CORES} workers, 1 thread each, `batch_timeout=0.01`, `fast_queue=True`; base64 in JSON; "
        "an asyncio client between Kafka and HTTP",
        guarantee=f"none of its own; its client, {_AT_LEAST_ONCE}",
    ),
    Peer(
        name="mosec",
        module="http_client",
        arguments=("mosec",),
        libraries=("mosec", "httpx", "confluent-kafka"),
        settings=f"{CORES} workers, 1 thread each, `max_wait_time=10`; the JPEG is the body; the same client",
        guarantee=f"none of its own; its client, {_AT_LEAST_ONCE}",
    ),
    Peer(
        name="Ray Data",
        module="with_ray_data",
        libraries=("ray", "confluent-kafka"),
        settings=f"`read_kafka`, streaming `repartition`, `map_batches` in {CORES} actors of 1 CPU; "
        "no dashboard, no usage report",
        environment={"RAY_USAGE_STATS_ENABLED": "0"},
        guarantee="a batch job over what lies in the topic at its start; it commits no offsets",
    ),
)
