"""A broker with TLS, passwords and access control lists: a whole run, and every way to be refused."""

import subprocess
import time
import uuid
from pathlib import Path

import pytest
from confluent_kafka.admin import AclOperation, ResourceType  # type: ignore[attr-defined] # not in its __all__

from tests.e2e.conftest import PipelineFactory
from tests.e2e.pipeline import PATIENCE_S, Pipeline, wait_until
from tests.servers.certificates import Authority
from tests.servers.secure_kafka import KEY_PASSWORD, PASSWORD, STRANGER, SecureKafkaServer

REFUSED_WITHIN_S = PATIENCE_S
"""A bound, not a speed: what would wait for a broker waits for ever."""


def secured(pipeline: PipelineFactory, server: SecureKafkaServer, **settings: object) -> Pipeline:
    """A pipeline on the secure broker whose user may do what the documents say a consumer and a producer need."""
    topic = f"secure-{uuid.uuid4().hex[:8]}"
    made = pipeline()
    made.settings.update({"KAFKA_TOPIC": topic, **server.velox_settings(), **{k: str(v) for k, v in settings.items()}})
    made.bootstrap, made.topic, made.security = server.bootstrap, topic, server.client_config()
    server.create_topic(topic, partitions=2)
    server.create_topic(f"{topic}.dlq", partitions=1)
    server.allow(ResourceType.TOPIC, topic, [AclOperation.READ, AclOperation.WRITE])
    server.allow(ResourceType.GROUP, made.settings["KAFKA_CONSUMER_GROUP"], [AclOperation.READ])
    return made


def refusal(pipeline: Pipeline, **settings: object) -> str:
    """What a consumer with these settings says before it ends by itself."""
    began = time.monotonic()
    consumer = pipeline.consume(**settings)
    try:
        code = consumer.process.wait(REFUSED_WITHIN_S)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"it goes on:\n{consumer.output}") from None
    assert code == 2, consumer.output
    assert PASSWORD not in consumer.output
    print(f"refused after {time.monotonic() - began:.1f} s")  # noqa: T201 - for whoever measures
    # The driver writes a line of its own beside ours when a client has failed for good.
    return next(line for line in consumer.output.splitlines() if line.startswith("velox consume: "))


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"])
def test_a_whole_run_over_tls_with_a_password(
    pipeline: PipelineFactory, secure_kafka: SecureKafkaServer, tmp_path: Path, mechanism: str
) -> None:
    mounted = tmp_path / "password"
    mounted.write_text(f"{PASSWORD}\n")
    one = secured(pipeline, secure_kafka, KAFKA_SASL_MECHANISM=mechanism, PRODUCER_MAX_LAG_BYTES=10**9)
    del one.settings["KAFKA_SASL_PASSWORD"]
    one.settings["KAFKA_SASL_PASSWORD_FILE"] = str(mounted)
    one.produced(3)  # images, which are no text: dead letters of the model here
    one.publish(*(f"text {i}".encode() for i in range(20)))
    consumer = one.consume()
    one.wait_for_documents(20)
    wait_until(lambda: one.reasons() == {"undecodable": 3}, what=f"the dead letters:\n{consumer.output}")
    assert consumer.stop() == 0, consumer.output
    assert one.uncommitted() == 0


def test_a_whole_run_with_a_certificate_instead_of_a_password(
    pipeline: PipelineFactory, secure_kafka: SecureKafkaServer
) -> None:
    certificate, key = secure_kafka.client
    one = secured(
        pipeline,
        secure_kafka,
        KAFKA_BOOTSTRAP_SERVER=secure_kafka.mutual,
        KAFKA_SECURITY_PROTOCOL="SSL",
        KAFKA_SSL_CERTIFICATE_LOCATION=certificate,
        KAFKA_SSL_KEY_LOCATION=key,
        KAFKA_SSL_KEY_PASSWORD=KEY_PASSWORD,
    )
    secure_kafka.allow(ResourceType.TOPIC, one.topic, [AclOperation.READ, AclOperation.WRITE], user="CN=client")
    group = one.settings["KAFKA_CONSUMER_GROUP"]
    secure_kafka.allow(ResourceType.GROUP, group, [AclOperation.READ], user="CN=client")
    one.publish(b"red_circle:0.99")
    consumer = one.consume()
    one.wait_for_documents(1)
    assert consumer.stop() == 0, consumer.output


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"KAFKA_SASL_PASSWORD": "wrong"}, "check KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and KAFKA_SASL_MECHANISM"),
        ({"KAFKA_SASL_USERNAME": "nobody"}, "check KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and KAFKA_SASL_MECHANISM"),
        ({"KAFKA_SSL_CA_LOCATION": ""}, "check KAFKA_SSL_CA_LOCATION"),
        ({"KAFKA_SSL_CA_LOCATION": "/nowhere.pem"}, "KAFKA_SSL_CA_LOCATION=/nowhere.pem: no file of PEM certificates"),
        ({"KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"}, "KAFKA_SECURITY_PROTOCOL=PLAINTEXT: the broker at"),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT"}, "KAFKA_SECURITY_PROTOCOL=SASL_PLAINTEXT: the broker at"),
        ({"KAFKA_SASL_PASSWORD": ""}, "needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"),
    ],
)
def test_what_is_refused_ends_the_start_and_names_the_setting(
    pipeline: PipelineFactory, secure_kafka: SecureKafkaServer, settings: dict[str, str], said: str
) -> None:
    assert said in refusal(secured(pipeline, secure_kafka), **settings)


def test_a_broker_that_nobody_vouches_for_is_not_believed(
    pipeline: PipelineFactory, secure_kafka: SecureKafkaServer, tmp_path: Path
) -> None:
    other = Authority.create(tmp_path, "other")
    one = secured(pipeline, secure_kafka)
    assert "check KAFKA_SSL_CA_LOCATION" in refusal(one, KAFKA_SSL_CA_LOCATION=other.certificate)


def test_a_certificate_of_another_host_is_not_believed(
    pipeline: PipelineFactory, secure_kafka: SecureKafkaServer
) -> None:
    one = secured(pipeline, secure_kafka)
    elsewhere = f"127.0.0.1:{secure_kafka.port}"
    assert "KAFKA_BOOTSTRAP_SERVER is a name" in refusal(one, KAFKA_BOOTSTRAP_SERVER=elsewhere)


def test_a_broker_that_wants_a_certificate_says_so(pipeline: PipelineFactory, secure_kafka: SecureKafkaServer) -> None:
    one = secured(pipeline, secure_kafka, KAFKA_BOOTSTRAP_SERVER=secure_kafka.mutual, KAFKA_SECURITY_PROTOCOL="SSL")
    assert "check KAFKA_SSL_CERTIFICATE_LOCATION" in refusal(one)


def test_a_user_who_may_not_see_the_topic_is_told(pipeline: PipelineFactory, secure_kafka: SecureKafkaServer) -> None:
    one = secured(pipeline, secure_kafka)
    # The group it may use: of two refusals, it would depend on the broker's haste which comes first.
    group = one.settings["KAFKA_CONSUMER_GROUP"]
    secure_kafka.allow(ResourceType.GROUP, group, [AclOperation.READ], user=STRANGER)
    said = refusal(one, KAFKA_SASL_USERNAME=STRANGER)
    assert f"Kafka topic {one.topic}: not there, or not ours to see" in said
    assert "KAFKA_SASL_USERNAME" in said


def test_a_user_who_may_not_use_the_group_is_told(pipeline: PipelineFactory, secure_kafka: SecureKafkaServer) -> None:
    one = secured(pipeline, secure_kafka)
    assert "KAFKA_CONSUMER_GROUP=forbidden" in refusal(one, KAFKA_CONSUMER_GROUP="forbidden")
