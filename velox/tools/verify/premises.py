"""Where a run takes place: topics, a group and stores of its own, apart from the user's."""

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from velox.core.envelope import Codec
from velox.core.subscription import Subscription
from velox.errors import SystemUnavailableError
from velox.kafka.dead_letters import dead_letter_topic
from velox.kafka.topics import HEADROOM_BYTES, ensure_topic, remove_topics, topics_now
from velox.loading import load_class
from velox.models.numbered import LABELS, NumberedModel, NumberedTexts
from velox.settings import Settings
from velox.settings.buckets import BucketSettings
from velox.sinks import PATHS, paths
from velox.sinks.sink import Readable
from velox.tools.up import environment
from velox.tools.verify.numbered import KEYS
from velox.tools.verify.plan import Plan

log = logging.getLogger(__name__)

_TOPIC_LENGTH: Final = 220
"""Kafka allows 249; the suffixes of the run and of the dead letters come on top."""
_PATTERN_BASE: Final = "velox"
_TOPICS_OF_A_PATTERN: Final = 4
_COLLECTION_LENGTH: Final = 90
_MODEL: Final = f"{NumberedModel.__module__}:{NumberedModel.__qualname__}"
_TEXT_MODEL: Final = f"{NumberedTexts.__module__}:{NumberedTexts.__qualname__}"
REQUESTS_MODEL: Final = "numbered"
"""What a run through the gateway calls its model."""


@dataclass(frozen=True, slots=True)
class Premises:
    """The settings of a run, and the sinks they name."""

    plan: Plan
    settings: Settings
    changed: dict[str, Any]
    """What differs from the user's settings, for the consumers."""
    topics: tuple[str, ...]
    """Those that records go to."""
    own: bool
    """Whether all of it is the run's own, and can be removed."""

    @property
    def letters_topic(self) -> str:
        """The topic of the dead letters."""
        return dead_letter_topic(self.settings)

    @property
    def bootstrap(self) -> str:
        """The brokers."""
        return self.settings.kafka_bootstrap_server

    @property
    def is_built_in(self) -> bool:
        """Say whether the built-in model predicts."""
        return self.own and not self.plan.own_model

    @property
    def model(self) -> str:
        """Name the model, for people."""
        return "built-in" if self.is_built_in else self.settings.model

    @property
    def everything_is_a_detection(self) -> bool:
        """Say whether every record leaves an image: needed where no database tells which do."""
        return self.settings.target_labels == ("*",) and not self.settings.confidence_threshold

    def sinks(self) -> Iterator[tuple[str, Any]]:
        """Build the sinks, for reading; each with its name in SINKS."""
        names = [name for name in PATHS if name in self.settings.sinks]
        names += [name for name in self.settings.sinks if name not in PATHS]
        for name, path in zip(names, paths(self.settings.sinks), strict=True):
            yield name, load_class(path)(self.settings)

    def prepare(self) -> None:
        """Create the topics.

        Raises:
            BrokerUnavailableError: no broker answers, or it refuses.
        """
        for topic, extra_bytes in {**dict.fromkeys(self.topics, 0), self.letters_topic: HEADROOM_BYTES}.items():
            ensure_topic(self.settings, topic, headroom_bytes=extra_bytes)

    def clear(self, prefix: str) -> None:
        """Remove what the run has left: all that is its own, else its results. What cannot be removed is named."""
        for name, sink in self.sinks():
            if isinstance(sink, Readable):
                _try(lambda sink=sink: sink.remove("" if self.own else prefix))
            else:
                log.warning("What %s has stored stays there, under ids that begin with %s", name, prefix)
        if self.own and not self.plan.embedded:
            _try(lambda: remove_topics(self.settings, [*self.topics, self.letters_topic]))


def establish(settings: Settings, plan: Plan, run: str, bootstrap: str | None) -> Premises:
    """Derive a run's settings from the user's; ``bootstrap`` is the embedded broker, if it is to be that one.

    Raises:
        BrokerUnavailableError: records are to go to the user's topics, and no broker says which a pattern matches.
    """
    if not plan.consumers:
        return Premises(plan, settings, {}, topics_now(settings), own=False)
    topics, changed_topics = _topics(settings.subscription, plan, run)
    changed: dict[str, Any] = environment.changes(settings, bootstrap=bootstrap) if bootstrap else {}
    if plan.through_gateway:
        changed |= _behind_a_gateway()
    sinks: Sequence[str] = changed.get("sinks", settings.sinks)
    changed |= changed_topics | {
        "kafka_consumer_group": f"{settings.kafka_consumer_group}.verify-{run}",
        "mongo_collection": f"{settings.mongo_collection[:_COLLECTION_LENGTH]}_verify_{run}",
        "sqlite_path": settings.sqlite_path.with_stem(f"{settings.sqlite_path.stem}.verify-{run}"),
        "storage_path": settings.storage_path / f"verify-{run}",
        "max_stored_files": 0,
        "store": "all",
        "auto_offset_reset": "earliest",
        "log_format": "human",
    }
    if "requests" in sinks:
        from velox.requests.database import apart  # noqa: PLC0415 - only whoever keeps requests has its library

        url = settings.requests_url
        changed["requests_url"] = type(url)(apart(url.get_secret_value(), f"verify_{run.replace('-', '_')}"))
    if "postgres" in sinks:
        from velox.postgres import schema  # noqa: PLC0415 - likewise

        dsn = settings.postgres_dsn
        changed["postgres_dsn"] = type(dsn)(schema.apart(dsn.get_secret_value(), f"verify_{run.replace('-', '_')}"))
    if settings.is_apart and not plan.through_gateway:
        # All objects are there before their keys are; those that are missing stay so.
        changed |= {"buckets_allowed": (objects_place(settings, run),), "object_retry_s": 0.0}
    if settings.group_instance_id != "none":
        changed["group_instance_id"] = f"verify-{run}"
    if not plan.own_model:
        model = _TEXT_MODEL if plan.through_gateway else _MODEL
        changed |= {"model": model, "target_labels": LABELS[:1], "confidence_threshold": 0.0, "device": "cpu"}
        if settings.codec is Codec.JSON and not plan.through_gateway:  # what the built-in model reads is no text
            changed["json_payload"] = "base64"
    if set(sinks) <= {"disk"}:
        changed |= {"target_labels": ("*",), "confidence_threshold": 0.0}
    return Premises(plan, settings.model_copy(update=changed), changed, topics, own=True)


def objects_place(settings: BucketSettings, run: str) -> str:
    """Say where the objects of a run are, as ``bucket/prefix``."""
    return "/".join(part for part in (settings.bucket_name, settings.bucket_prefix, f"verify-{run}") if part)


def _behind_a_gateway() -> dict[str, Any]:
    """Answer the settings of a worker that answers a gateway's requests about texts."""
    return {
        "codec": Codec.JSON,
        "json_field": "text",
        "json_payload": "text",
        "json_id_field": "request_id",
        "sinks": ("requests",),
        "pipeline": REQUESTS_MODEL,
    }


def _topics(subscription: Subscription, plan: Plan, run: str) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Name the run's own topics, and the settings by which its consumers read them: in the way of the user's."""
    base = f"{subscription.names[0][:_TOPIC_LENGTH] if subscription.names else _PATTERN_BASE}.verify-{run}"
    if subscription.is_one and not plan.topics:
        return (base,), {"kafka_topic": base, "dead_letter_topic": "auto", "results_topic": "auto"}
    count = plan.topics or min(len(subscription.names), KEYS) or _TOPICS_OF_A_PATTERN
    topics = tuple(f"{base}.{number}" for number in range(1, count + 1))
    written = ",".join(topics) if subscription.names else rf"^{re.escape(base)}\.\d+$"
    return topics, {
        "kafka_topic": written,
        "dead_letter_topic": f"{base}.dlq",
        "results_topic": f"{base}.results",
    }


def _try(step: Any) -> None:  # noqa: ANN401 - a lambda
    try:
        step()
    except (SystemUnavailableError, OSError) as error:
        log.warning("Not removed: %s", error)
