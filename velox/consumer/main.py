"""The consumer's life: start, step until told to stop, drain."""

import logging
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from math import inf, nan
from pathlib import Path
from time import monotonic

from velox import __version__, failpoints, logs
from velox.allocator import return_large_blocks
from velox.consumer.drain import Ending, drain, shut_down
from velox.consumer.liveness import Liveness
from velox.consumer.pipeline import build
from velox.consumer.topology import decode_threads, placements, prepare_environment
from velox.core.deadline import Deadline
from velox.kafka.client import KafkaClient
from velox.kafka.dead_letters import dead_letter_topic
from velox.kafka.topics import HEADROOM_BYTES, ensure_topic
from velox.metrics.consumer import ConsumerMetrics
from velox.probes import ProbeServer
from velox.settings import Settings, TopicSettings, WriterSettings
from velox.signals import StopRequest
from velox.sinks.kafka import results_topic

log = logging.getLogger(__name__)


def run(settings: Settings) -> int:
    """Consume until a signal comes; for a process's main thread.

    Returns and raises what ``consume`` does.
    """
    with StopRequest() as stop:
        return consume(settings, stop)


def consume(settings: Settings, stop: StopRequest) -> int:
    """Consume until told to stop.

    Returns:
        0 when all that was fetched is finished and committed, 1 when not: the deadline or a second signal cut it short,
        or Kafka did not take the last commit.

    Raises:
        VeloxError: it cannot go on: the model does not load, inference processes keep dying, Kafka refuses.
    """
    settings = settings.model_copy(update={"pipeline": settings.pipeline or settings.kafka_consumer_group})
    logs.configure(level=settings.log_level, form=settings.log_format, pipeline=settings.pipeline)
    failpoints.arm()
    devices = placements(settings)
    settings = settings.model_copy(update={"decode_threads": decode_threads(settings, devices)})
    log.info(
        "Velox %s: %s from %s, %s",
        __version__,
        settings.kafka_topic,
        settings.kafka_bootstrap_server,
        f"{len(devices)} inference processes" if settings.predictor == "local" else "Ray Serve predicts",
    )
    prepare_environment(len(devices) * (1 + len(settings.versions)))
    return_large_blocks()
    metrics = ConsumerMetrics()
    _describe(settings, metrics)
    # First: a port that is taken ends the start before there are processes to end with it.
    with closing(ProbeServer(settings.metrics_port, metrics.registry)) as probes:
        started, ending = _consume(settings, devices, metrics, probes, stop)
    _summarise(metrics, monotonic() - started, ending)
    if ending.hangs:
        logging.shutdown()
        sys.stdout.flush()
        os._exit(1)  # a thread hangs in a driver and would hang the interpreter's end as well
    return 0 if ending.is_drained else 1


def _consume(
    settings: Settings, devices: Sequence[str], metrics: ConsumerMetrics, probes: ProbeServer, stop: StopRequest
) -> tuple[float, Ending]:
    """Build the parts, turn until told to stop, drain; answer when draining began, and what was left."""
    pipeline = build(settings, devices, metrics)
    fetcher, stages = pipeline.fetcher, pipeline.stages
    deadline = Deadline(0)
    try:
        probes.serve(live=Liveness(fetcher.live, stages.dispatcher.stuck), ready=fetcher.ready, reports=stages.reports)
        pipeline.start()
        _ensure_topics(settings, pipeline.kafka, stop)
        pipeline.join_group(is_stopping=stop.is_made)
        while not stop.is_made():
            fetcher.step()
        deadline = Deadline(settings.drain_s)
        started = monotonic()
        drain(fetcher, stages.flight, deadline, stop)
        if stages.flight.records:
            deadline = Deadline(0)
    finally:
        ending = shut_down(fetcher, stages, deadline)
        if pipeline.spans:
            pipeline.spans.close()
    return started, ending


def _describe(settings: WriterSettings, metrics: ConsumerMetrics) -> None:
    """Set what does not change while this consumer runs, and have the disk asked by whoever reads the metrics."""
    metrics.started.set_to_current_time()
    metrics.in_flight_limit_records.set(settings.queue_size)
    metrics.in_flight_limit_bytes.set(settings.queue_bytes)
    metrics.batch_limit.set(settings.batch_size)
    metrics.bucket_up.set(1)
    if settings.storage_url:
        metrics.storage_free.set(nan)
    else:
        metrics.storage_free.set_function(partial(_free_bytes, settings.storage_path))


def _free_bytes(folder: Path) -> float:
    try:
        return shutil.disk_usage(folder).free
    except OSError:  # not made yet, or gone; a failure here would take all metrics with it
        return nan


def _ensure_topics(settings: TopicSettings, kafka: KafkaClient, stop: StopRequest) -> None:
    def is_stopping() -> bool:
        kafka.listen()
        return stop.is_made()

    topics = {**dict.fromkeys(settings.subscription.names, 0), dead_letter_topic(settings): HEADROOM_BYTES}
    if "kafka" in settings.sinks:  # which waits for its topic as for any system that is down: a refusal ends here
        topics[results_topic(settings)] = 0
    for topic, extra_bytes in topics.items():
        ensure_topic(
            settings,
            topic,
            headroom_bytes=extra_bytes,
            # Not ready, but alive: ending would only be started again, by whatever watches over it.
            wait_s=inf,
            is_stopping=is_stopping,
        )


def _summarise(metrics: ConsumerMetrics, took_s: float, ending: Ending) -> None:
    not_committed = f" and {ending.uncommitted} done but not committed," if ending.uncommitted else ""
    log.info(
        "%s in %.1f s: %.0f predicted, %.0f detections, %.0f dead-lettered, %d in flight%s left to be read again",
        "Drained" if ending.is_drained else "Stopped",
        took_s,
        metrics.total("velox_records_total", outcome="predicted"),
        metrics.total("target_shapes_found_total"),
        metrics.total("velox_records_total", outcome="dead_lettered"),
        ending.in_flight,
        not_committed,
    )
