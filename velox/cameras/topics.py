"""The topics of cameras: one each, of one partition, so that frames keep their order; changes; small pictures."""

from collections.abc import Callable, Sequence
from typing import Final

from velox.core.cameras import CONTROL_TOPIC, THUMBS_TOPIC
from velox.kafka.topics import ensure_topic, ensure_topics
from velox.settings.readers import ReadingSettings

_COMPACT: Final = {"cleanup.policy": "compact"}
_THUMBS: Final = {"cleanup.policy": "delete", "retention.ms": "60000", "segment.ms": "30000"}


def ensure_cameras(
    settings: ReadingSettings, ids: Sequence[str], *, is_stopping: Callable[[], bool] = lambda: False
) -> None:
    """Make the topics of these cameras where they are missing.

    Raises:
        BrokerUnavailableError: no broker answered in a minute, or it refuses.
    """
    ensure_topics(_of_one_partition(settings), ids, is_stopping=is_stopping)


def ensure_control(settings: ReadingSettings, *, is_stopping: Callable[[], bool] = lambda: False) -> None:
    """Make the topic of changes where it is missing.

    Raises:
        BrokerUnavailableError: no broker answered in a minute, or it refuses.
    """
    ensure_topic(_of_one_partition(settings), CONTROL_TOPIC, is_stopping=is_stopping, config=_COMPACT)


def ensure_thumbs(settings: ReadingSettings, *, is_stopping: Callable[[], bool] = lambda: False) -> None:
    """Make the topic of small pictures where it is missing.

    Raises:
        BrokerUnavailableError: no broker answered in a minute, or it refuses.
    """
    ensure_topic(_of_one_partition(settings), THUMBS_TOPIC, is_stopping=is_stopping, config=_THUMBS)


def _of_one_partition(settings: ReadingSettings) -> ReadingSettings:
    return settings.model_copy(update={"kafka_partitions": 1})
