"""``velox prepare``: what a pipeline's processes need in Kafka and in databases, created before they start."""

from contextlib import closing
from typing import Final

from velox import logs
from velox.kafka.dead_letters import dead_letter_topic
from velox.kafka.topics import HEADROOM_BYTES, ensure_topic
from velox.loading import load_class
from velox.settings import Settings
from velox.sinks import PATHS
from velox.sinks.kafka import results_topic
from velox.sinks.sink import Sink

HERE: Final = frozenset({"disk", "sqlite", "kafka"})
"""Sinks with nothing to prepare from afar: two write where the consumer runs, and the third's topic is one of ours."""


def run(settings: Settings, *, wait_s: float = 60.0) -> list[str]:
    """Create topics and tables that are missing; what is there stays as it is. Safe any number of times, and at once.

    A pattern of topics names none that could be created. A sink of the user's is left to the consumer.

    Args:
        settings: of the pipeline.
        wait_s: for how long each topic waits for a broker.

    Returns:
        What is there now, for people.

    Raises:
        SystemUnavailableError: Kafka or a database does not answer, or refuses; the message says what to do.
        SettingsError: what is there is another version's, or a setting is refused.
    """
    logs.configure(level=settings.log_level, form=settings.log_format, pipeline=settings.pipeline or "prepare")
    topics = {**dict.fromkeys(settings.subscription.names, 0), dead_letter_topic(settings): HEADROOM_BYTES}
    for topic, headroom_bytes in topics.items():
        ensure_topic(settings, topic, headroom_bytes=headroom_bytes, wait_s=wait_s)
    if "kafka" in settings.sinks:
        ensure_topic(settings, results_topic(settings), wait_s=wait_s, config={})
    there = [f"topic {topic}" for topic in topics]
    there += [f"topic {results_topic(settings)}"] if "kafka" in settings.sinks else []
    for name in settings.sinks:
        if name in PATHS and name not in HERE:
            sink: Sink = load_class(PATHS[name])(settings)
            with closing(sink):
                sink.open()
            there.append(f"sink {name}")
    return there
