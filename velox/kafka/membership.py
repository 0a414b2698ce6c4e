"""The settings as librdkafka's, for a member of the consumer group."""

from collections.abc import Callable
from typing import Any

from velox.kafka.connection import connection
from velox.settings import MemberSettings

REQUEST_S = 15.0
"""A broker that hangs (not one that is gone, which shows at once) holds up a commit no longer than this."""
_PREFETCH_KIB = 32 * 1024


def consumer_config(
    settings: MemberSettings, *, on_commit: Callable[..., None], on_error: Callable[..., None]
) -> dict[str, Any]:
    """Translate the settings into librdkafka's."""
    fetch_bytes = max(settings.max_message_bytes, 16 * 1024 * 1024)
    return {
        **connection(settings, "velox-consumer"),
        "group.id": settings.kafka_consumer_group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": settings.auto_offset_reset,
        "allow.auto.create.topics": False,
        "max.poll.interval.ms": settings.max_poll_interval_ms,
        **_membership(settings),
        "socket.timeout.ms": int(REQUEST_S * 1000),
        # New partitions are found within seconds, not minutes.
        "topic.metadata.refresh.interval.ms": 10_000,
        "fetch.wait.max.ms": settings.fetch_wait_ms,
        "fetch.message.max.bytes": settings.max_message_bytes,
        "fetch.max.bytes": fetch_bytes,
        # A record above MAX_MESSAGE_BYTES still arrives, to be dead-lettered instead of blocking its partition.
        "receive.message.max.bytes": max(100_000_000, 2 * fetch_bytes),
        # The prefetch counts against the memory of this process; without the short back-off, bounding it starves it.
        "queued.max.messages.kbytes": _PREFETCH_KIB,
        "fetch.queue.backoff.ms": 5,
        "on_commit": on_commit,
        "error_cb": on_error,
    }


def _membership(settings: MemberSettings) -> dict[str, Any]:
    named = {"group.instance.id": settings.group_instance_id} if settings.group_instance_id != "none" else {}
    if settings.group_protocol == "consumer":  # its time-outs are the broker's; the driver refuses our own
        return {"group.protocol": "consumer", **named}
    return {
        "partition.assignment.strategy": settings.group_protocol,
        "session.timeout.ms": settings.session_timeout_ms,
        "heartbeat.interval.ms": settings.session_timeout_ms // 4,
        **named,
    }
