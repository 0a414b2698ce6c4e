"""What a consumer makes of the driver's errors: which end it, which are told, and that none is told every second."""

import pytest
from confluent_kafka import KafkaError, TopicPartition

from velox.errors import SettingsError, VeloxError
from velox.kafka.ends import DENIED
from velox.kafka.heeding import Heeding
from velox.settings import Settings

P0, P1 = TopicPartition("image_data", 0, 7), TopicPartition("image_data", 1, 9)
WRONG_PASSWORD = KafkaError(KafkaError._AUTHENTICATION, "Authentication failed")
AWAY = KafkaError(KafkaError._TRANSPORT, "GroupCoordinator: broker.example:9092: Connection refused")
DURING_A_REBALANCE = [
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.FENCED_MEMBER_EPOCH,
    KafkaError.STALE_MEMBER_EPOCH,
    KafkaError._NO_OFFSET,
]


@pytest.fixture
def heeding() -> Heeding:
    return Heeding(Settings(kafka_bootstrap_server="broker.example:9092"))


def test_a_refusal_ends_a_consumer_that_was_never_let_in(heeding: Heeding) -> None:
    with pytest.raises(SettingsError, match="check KAFKA_SASL_USERNAME"):
        heeding.client(WRONG_PASSWORD)


def test_a_refusal_may_pass_once_it_was_let_in_and_is_told_once(
    heeding: Heeding, caplog: pytest.LogCaptureFixture
) -> None:
    heeding.joined()
    for _ in range(5):
        heeding.client(WRONG_PASSWORD)
    (told,) = caplog.messages
    assert "check KAFKA_SASL_USERNAME" in told


def test_one_brokers_bad_certificate_is_no_reason_to_end(heeding: Heeding, caplog: pytest.LogCaptureFixture) -> None:
    heeding.client(KafkaError(KafkaError._SSL, "certificate verify failed"))
    assert "check KAFKA_SSL_CA_LOCATION" in caplog.text


def test_a_refusal_is_told_as_one_though_the_driver_calls_it_a_broken_connection(
    heeding: Heeding, caplog: pytest.LogCaptureFixture
) -> None:
    text = "broker.example:9092/1: SSL alert number 42"
    heeding.joined()
    heeding.client(KafkaError(KafkaError._TRANSPORT, text))
    assert "check KAFKA_SSL_CERTIFICATE_LOCATION" in caplog.text
    assert heeding.problem is None


def test_a_broker_that_cannot_be_reached_is_the_problem_and_told_once(
    heeding: Heeding, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(5):
        heeding.client(AWAY)
    assert caplog.messages == ["Kafka: broker.example:9092 cannot be reached: Connection refused"]
    assert heeding.problem == "broker.example:9092 cannot be reached: Connection refused"


def test_other_errors_of_the_client_are_told_each_kind_once(heeding: Heeding, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        for code in (KafkaError._MAX_POLL_EXCEEDED, KafkaError._TIMED_OUT):
            heeding.client(KafkaError(code, f"it is {code}"))
    codes = (KafkaError._MAX_POLL_EXCEEDED, KafkaError._TIMED_OUT)
    assert caplog.messages == [f"Kafka: it is {code}" for code in codes]
    assert heeding.problem is None


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KafkaError(KafkaError._AUTO_OFFSET_RESET, "out of range"), "AUTO_OFFSET_RESET=error: out of range"),
        (KafkaError(KafkaError._FATAL, "fenced"), "fenced; this member of the group cannot go on"),
        (KafkaError(KafkaError.FENCED_INSTANCE_ID, "fenced", True), "fenced; this member of the group cannot go on"),
        *(
            (KafkaError(code, "not authorised"), "Kafka refuses image_data: not authorised; let KAFKA_SASL_USERNAME")
            for code in sorted(DENIED)
        ),
    ],
    ids=lambda value: value.name() if isinstance(value, KafkaError) else "",
)
def test_what_only_a_restart_or_somebody_mends_ends_it(heeding: Heeding, error: KafkaError, told: str) -> None:
    heeding.joined()
    with pytest.raises(VeloxError, match=told):
        heeding.record(error)


def test_who_is_denied_is_told_the_topic_and_the_group() -> None:
    heeding = Heeding(Settings(kafka_topic="camera_7", kafka_consumer_group="readers"))
    with pytest.raises(VeloxError, match=r"Kafka refuses camera_7: .*read this topic and KAFKA_CONSUMER_GROUP=readers"):
        heeding.record(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))


def test_errors_in_the_place_of_records_that_may_pass_are_told_each_kind_once(
    heeding: Heeding, caplog: pytest.LogCaptureFixture
) -> None:
    codes = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.LEADER_NOT_AVAILABLE)
    for _ in range(3):
        for code in codes:
            heeding.record(KafkaError(code, f"it is {code}"))
    assert caplog.messages == [f"Kafka: it is {code}" for code in codes]
    assert heeding.problem is None


def test_a_group_that_shares_otherwise_is_the_problem_until_it_lets_us_in(
    heeding: Heeding, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        heeding.record(KafkaError(KafkaError.INCONSISTENT_GROUP_PROTOCOL))
    remedy = (
        "the other members of gpu_cluster_h100 share partitions otherwise than by GROUP_PROTOCOL=cooperative-sticky: "
        "set what they use, or stop them"
    )
    assert (caplog.messages, heeding.problem) == ([f"Kafka: {remedy}"], remedy)
    heeding.joined()
    assert heeding.problem is None


def test_that_nobody_says_where_the_group_is_is_told_once_unless_it_is_clear_why(
    heeding: Heeding, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        heeding.beginning(KafkaError(KafkaError._TIMED_OUT, "timed out"))
    assert caplog.messages == ["Kafka does not say how far the group is: timed out; asking again"]


def test_of_a_broker_that_cannot_be_reached_nothing_more_is_told(
    heeding: Heeding, caplog: pytest.LogCaptureFixture
) -> None:
    heeding.client(AWAY)
    heeding.beginning(KafkaError(KafkaError._TRANSPORT, "no broker"))
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("code", DURING_A_REBALANCE)
def test_a_commit_refused_during_a_rebalance_is_nothing_to_tell_of(
    heeding: Heeding, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    heeding.commit(P0, KafkaError(code))
    assert caplog.messages == []


def test_other_refusals_of_commits_are_told_each_kind_once(heeding: Heeding, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        for at in (P0, P1):
            for code in (KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError.REQUEST_TIMED_OUT):
                heeding.commit(at, KafkaError(code, f"it is {code}"))
    assert caplog.messages == [
        f"Commit of image_data-0 at 7 refused: it is {code}"
        for code in (KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError.REQUEST_TIMED_OUT)
    ]


def test_that_the_lag_is_unknown_is_told_once_with_the_remedy(
    heeding: Heeding, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        heeding.lag("Topic authorization failed")
    (told,) = caplog.messages
    assert told.startswith("Kafka does not say where image_data ends (Topic authorization failed): the lag is unknown")
    assert "let KAFKA_SASL_USERNAME or the certificate's owner describe the topic" in told
