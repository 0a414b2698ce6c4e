"""Whether Kafka can be reached, and is set up for what Velox is told to do."""

import time
from collections.abc import Iterator, Sequence
from math import inf

from velox.errors import VeloxError
from velox.kafka.dead_letters import dead_letter_topic
from velox.kafka.inspection import Backlog, Cluster, Group, Inspector, Topic
from velox.kafka.topics import HEADROOM_BYTES
from velox.settings import StreamSettings
from velox.tools.doctor.findings import Finding, Level, error, judged, ok, refusal, skipped, warning

_RECORDS = "KAFKA_TOPIC"
_RESULTS = "RESULTS_TOPIC"
_NAMED = 5
_SLOW_S = 0.5
_AHEAD_S = 2.0
_RETENTION_USED = 0.5
"""A backlog older than this share of the retention may be removed before it is read."""


def find(settings: StreamSettings) -> Iterator[Finding]:
    """Ask the brokers; what depends on an answer is skipped when there is none."""
    try:
        inspector = Inspector(settings)
        cluster = inspector.cluster()
    except VeloxError as problem:
        yield refusal("brokers", problem)
        yield skipped("topics, size limits, replication, backlog", "no broker answers")
        return
    yield from brokers(cluster, settings)
    records = settings.subscription.names or inspector.matching()
    sources = [source for name in records if (source := inspector.topic(name)) is not None]
    if not settings.subscription.is_one:
        yield several(sources, settings)
    for setting, name in _names(settings, records):
        found = inspector.topic(name)
        namesake = inspector.namesake(name) if found is None else None
        said = [collision(setting, name, namesake)] if namesake else topic(found, name, cluster, settings)
        is_one_of_many = name in records and not settings.subscription.is_one
        yield from (finding for finding in said if not is_one_of_many or finding.level is not Level.OK)
    if not sources:
        yield skipped("group and backlog", f"there is no topic {settings.kafka_topic}")
        return
    yield from group(inspector.group(), together(sources, settings), settings)
    try:
        waiting = inspector.backlog([source.name for source in sources])
        yield from backlog(waiting, together(sources, settings), now_s=time.time())
    except VeloxError as problem:
        yield refusal("backlog", problem)


def brokers(cluster: Cluster, settings: StreamSettings) -> Iterator[Finding]:
    """Judge how they answer, and the bounds they set for a group."""
    answer = f"{cluster.brokers} at {settings.kafka_bootstrap_server}, answered in {cluster.answer_s * 1000:.0f} ms"
    if cluster.answer_s > _SLOW_S:
        yield warning("brokers", answer, "look at the network, at DNS, and at the brokers' load")
    else:
        yield ok("brokers", answer)
    for address in cluster.out_of_reach:
        fix = "correct advertised.listeners of that broker, or make the address known and open to this machine"
        yield error(f"broker {address}", "the cluster gives this address, and nothing answers there", fix)
    if settings.group_protocol == "consumer":  # time-outs are the brokers' own
        return
    least, most = (int(cluster.config.get(f"group.{m}.session.timeout.ms", 0)) for m in ("min", "max"))
    asked = settings.session_timeout_ms
    if most and not least <= asked <= most:
        fix = f"set SESSION_TIMEOUT_MS between {least} and {most}"
        yield error("session time-out", f"SESSION_TIMEOUT_MS={asked}, and brokers take {least} to {most}", fix)


def several(sources: Sequence[Topic], settings: StreamSettings) -> Finding:
    """Say which topics KAFKA_TOPIC means now; what is wrong with one of them is a finding of its own."""
    subscription, names = settings.subscription, [source.name for source in sources]
    listed = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    if subscription.names:
        return ok("topics", f"{len(names)} of {len(subscription.names)} are there: {listed or 'none'}")
    if not names:
        fix = "create one, or correct the pattern: a topic that matches is read as soon as it is there"
        return warning("topics", f"none matches KAFKA_TOPIC={subscription}", fix)
    return ok("topics", f"{len(names)} match KAFKA_TOPIC={subscription} now: {listed}")


def together(sources: Sequence[Topic], settings: StreamSettings) -> Topic:
    """Take several topics for one: the partitions of all, and the configuration of the one that keeps the shortest."""
    if len(sources) == 1:
        return sources[0]
    return Topic(
        settings.kafka_topic,
        partitions=sum(source.partitions for source in sources),
        leaderless=sum(source.leaderless for source in sources),
        replicas=min(source.replicas for source in sources),
        config=min(sources, key=_retention_s).config,
    )


def collision(setting: str, name: str, namesake: str) -> Finding:
    """Find a topic that can never be created."""
    value = f"not there, and Kafka does not create it beside {namesake}: a dot and _ are the same in its metrics"
    return error(f"topic {name}", value, f"set {setting} to another name")


def topic(found: Topic | None, name: str, cluster: Cluster, settings: StreamSettings) -> Iterator[Finding]:
    """Judge one topic: that it is there, has leaders, takes what is sent, and survives a broker."""
    if found is None:
        number = settings.kafka_partitions
        fix = f"check the name; else leave it: who starts first creates it, with KAFKA_PARTITIONS={number}"
        yield warning(f"topic {name}", "not there, or not ours to see", fix)
        return
    if found.leaderless:
        fix = "start the brokers that hold them"
        yield error(f"topic {name}", f"{found.leaderless} of {found.partitions} partitions have no leader", fix)
    else:
        yield ok(f"topic {name}", f"{found.partitions} partitions, {found.replicas} replicas")
    if name == settings.topics.get(_RESULTS):
        return  # results are small, and their topic may be a compacted one
    if not found.config:
        yield skipped(f"limits of {name}", "we may not describe its configuration")
        return
    yield from judged(_size(found, settings), ok(f"size of {name}", f"takes {_limit(found)} bytes"))
    yield from _copies(found, cluster)
    yield from _clean_up(found, dead_letters=dead_letter_topic(settings))


def group(found: Group | None, source: Topic, settings: StreamSettings) -> Iterator[Finding]:
    """Judge whether a consumer would be let in, and whether every one has something to do."""
    what = f"group {settings.kafka_consumer_group}"
    if found is None:
        yield skipped(what, "we may not describe it")
        return
    if found.strategy and settings.group_protocol not in {"consumer", found.strategy}:
        value = f"its members share partitions by {found.strategy}, and GROUP_PROTOCOL={settings.group_protocol}"
        fix = "stop them, or set GROUP_PROTOCOL to what they use: no member joins that shares otherwise"
        yield error(what, value, fix)
    if found.members > source.partitions:
        fix = f"give {source.name} at least {found.members} partitions, or start fewer consumers"
        yield warning(what, f"{found.members} consumers share {source.partitions} partitions: some have none", fix)
    else:
        yield ok(what, f"{found.members} consumers now, {source.partitions} can have work")


def backlog(found: Backlog, source: Topic, *, now_s: float) -> Iterator[Finding]:
    """Judge what waits, and whether it will still be there when its turn comes."""
    retention_s = _retention_s(source)
    age_s = max(0.0, now_s - found.oldest_unread_s) if found.oldest_unread_s is not None else 0.0
    value = f"{found.records} records wait, the oldest for {age_s:.0f} s"
    if found.lost:
        yield error("retention", f"{found.lost} records were removed before they were read", _longer(source))
    if found.records and retention_s * _RETENTION_USED < age_s:
        yield warning("backlog", f"{value}; the topic keeps them for {retention_s:.0f} s", _longer(source))
    else:
        yield ok("backlog", value)
    if found.hidden:
        value = f"{found.hidden} records wait behind an open transaction of a producer, and nobody may read them yet"
        fix = "if they stay: end that producer, or find the transaction and abort it with kafka-transactions.sh"
        yield warning("transactions", value, fix)
    ahead_s = (found.newest_s or now_s) - now_s
    if ahead_s > _AHEAD_S:
        fix = "set the clocks of this machine, the producers and the brokers by NTP: latencies are wrong"
        yield warning("clock", f"the newest record is {ahead_s:.0f} s in the future", fix)


def _names(settings: StreamSettings, records: Sequence[str]) -> list[tuple[str, str]]:
    """List the topics to look at, each with the setting that decides on it."""
    wanted = [(_RECORDS, name) for name in records]
    wanted += [(setting, name) for setting, name in settings.topics.items() if setting != _RECORDS]
    return [each for each in wanted if each[0] != _RESULTS or "kafka" in settings.sinks]


def _retention_s(found: Topic) -> float:
    """Say for how long a topic keeps its records: for ever when that is not limited, or not known."""
    limit_ms = int(found.config.get("retention.ms", -1))
    return limit_ms / 1000 if limit_ms > 0 else inf


def _limit(found: Topic) -> int:
    return int(found.config.get("max.message.bytes", 0))


def _size(found: Topic, settings: StreamSettings) -> Iterator[Finding]:
    limit, largest = _limit(found), settings.max_message_bytes
    what = f"size of {found.name}"
    if limit and limit < largest:
        value = f"takes {limit} bytes, and MAX_MESSAGE_BYTES={largest}"
        fix = f"set its max.message.bytes to {largest + HEADROOM_BYTES}, or MAX_MESSAGE_BYTES={limit}"
        if found.name == dead_letter_topic(settings):
            yield warning(what, f"{value}: larger dead letters leave their value behind", fix)
        else:
            yield error(what, value, fix)


def _copies(found: Topic, cluster: Cluster) -> Iterator[Finding]:
    what, least = f"replication of {found.name}", int(found.config.get("min.insync.replicas", 1))
    value = f"{found.replicas} replicas, min.insync.replicas={least}"
    if least > found.replicas:
        yield error(
            what, f"{value}: nothing can be written", f"set min.insync.replicas to {max(1, found.replicas - 1)}"
        )
    elif cluster.brokers > 1 and found.replicas == 1:
        fix = "reassign it with a replication factor of 3: a broker that is lost takes its records along"
        yield warning(what, value, fix)
    elif found.replicas > 1 and least == found.replicas:
        fix = f"set min.insync.replicas to {found.replicas - 1}: one broker that restarts stops all writing"
        yield warning(what, value, fix)
    elif found.replicas > 2 and least == 1:  # noqa: PLR2004 - of two, one has to do
        fix = "set min.insync.replicas to 2: a record is acknowledged with one copy now"
        yield warning(what, value, fix)


def _clean_up(found: Topic, *, dead_letters: str) -> Iterator[Finding]:
    if "compact" in found.config.get("cleanup.policy", ""):
        clean_up = f"clean-up of {found.name}"
        if found.name == dead_letters:
            fix = "set its cleanup.policy to delete: letters keep the keys of their records, and some have none"
            yield error(clean_up, "cleanup.policy contains compact, which refuses a letter without a key", fix)
        else:
            fix = "set cleanup.policy to delete: of records with the same key only the last is kept"
            yield warning(clean_up, "cleanup.policy contains compact", fix)


def _longer(source: Topic) -> str:
    return f"start more consumers, or raise retention.ms of {source.name}"
