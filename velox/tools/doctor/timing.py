"""Whether the settings fit each other: what is valid alone may be unwise together."""

from collections.abc import Iterator

from velox.consumer.topology import placements
from velox.settings import ClientSettings, InferenceSettings, MemberSettings, Settings
from velox.tools.doctor.findings import Finding, judged, ok, warning


def find(settings: Settings) -> Iterator[Finding]:
    """Compare times, sizes and security settings with each other."""
    yield from judged(_times(settings), ok("times", f"DRAIN_S={settings.drain_s:g} is enough for what it waits for"))
    yield from judged(_batches(settings), ok("batches", f"QUEUE_SIZE={settings.queue_size} feeds every process"))
    yield from _sharing(settings)
    yield from judged(_security(settings), ok("security", settings.kafka_security_protocol))


def _times(settings: Settings) -> Iterator[Finding]:
    for name, value_s in (("SINK_TIMEOUT_S", settings.sink_timeout_s), ("REVOKE_WAIT_S", settings.revoke_wait_s)):
        if value_s >= settings.drain_s:
            value = f"DRAIN_S={settings.drain_s:g} and {name}={value_s:g}"
            yield warning("times", value, f"raise DRAIN_S above {name}, or one slow write cuts a stop short")
    if settings.commit_interval_s * 1000 > settings.session_timeout_ms:
        value = f"COMMIT_INTERVAL_S={settings.commit_interval_s:g}, SESSION_TIMEOUT_MS={settings.session_timeout_ms}"
        yield warning("times", value, "lower COMMIT_INTERVAL_S: after a crash all since the last commit is read again")
    if settings.revoke_wait_s * 1000 >= settings.max_poll_interval_ms:
        value = f"REVOKE_WAIT_S={settings.revoke_wait_s:g}, MAX_POLL_INTERVAL_MS={settings.max_poll_interval_ms}"
        yield warning("times", value, "raise MAX_POLL_INTERVAL_MS: while it waits, a consumer is taken for stuck")
    if settings.revoke_wait_s * 1000 > settings.session_timeout_ms:
        value = f"REVOKE_WAIT_S={settings.revoke_wait_s:g}, SESSION_TIMEOUT_MS={settings.session_timeout_ms}"
        yield warning("times", value, "lower REVOKE_WAIT_S: the whole group waits that long in every rebalance")


def _batches(settings: InferenceSettings) -> Iterator[Finding]:
    processes = len(placements(settings))
    if settings.queue_size < settings.batch_size * processes:
        value = f"QUEUE_SIZE={settings.queue_size}, BATCH_SIZE={settings.batch_size}, {processes} inference processes"
        fix = f"raise QUEUE_SIZE to {2 * settings.batch_size * processes}, or batches are never full"
        yield warning("batches", value, fix)


def _sharing(settings: MemberSettings) -> Iterator[Finding]:
    if settings.group_protocol == "range" and not settings.subscription.is_one:
        value = (
            "GROUP_PROTOCOL=range gives one consumer the first partition of every topic, and the last one few or none"
        )
        yield warning("sharing", value, "set GROUP_PROTOCOL=cooperative-sticky, which shares all partitions evenly")


def _security(settings: ClientSettings) -> Iterator[Finding]:
    protocol = settings.kafka_security_protocol
    if settings.kafka_sasl_username and not protocol.startswith("SASL"):
        value = f"KAFKA_SASL_USERNAME is given, and KAFKA_SECURITY_PROTOCOL={protocol} does not use it"
        yield warning("security", value, "set KAFKA_SECURITY_PROTOCOL=SASL_SSL, or remove the user")
    if settings.kafka_ssl_ca_location and not protocol.endswith("SSL"):
        value = f"KAFKA_SSL_CA_LOCATION is given, and KAFKA_SECURITY_PROTOCOL={protocol} does not use it"
        yield warning("security", value, "set KAFKA_SECURITY_PROTOCOL=SASL_SSL or SSL, or remove it")
    if protocol == "SASL_PLAINTEXT" and settings.kafka_sasl_mechanism == "PLAIN":
        value = "the password goes over the network as it is"
        yield warning("security", value, "set KAFKA_SECURITY_PROTOCOL=SASL_SSL, or KAFKA_SASL_MECHANISM=SCRAM-SHA-512")
