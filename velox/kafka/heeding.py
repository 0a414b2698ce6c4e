"""What a consumer does about the errors that its driver reports: end or go on, and which line to log."""

import logging
from typing import Final

from confluent_kafka import KafkaError, TopicPartition

from velox.core.seldom import Seldom
from velox.errors import SettingsError, VeloxError
from velox.kafka.connection import refusal_of
from velox.kafka.ends import DENIED
from velox.kafka.reachability import Reachability
from velox.settings import MemberSettings

log = logging.getLogger(__name__)

_RETRY_AT_NEXT_COMMIT: Final = frozenset(
    {
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError._NO_OFFSET,
    }
)
_TELL_EVERY_S: Final = 30.0


class Heeding:
    """Receives every error of the driver; logs none more often than once in half a minute."""

    def __init__(self, settings: MemberSettings) -> None:
        """Start without any error."""
        self.has_joined = False
        """Whether the brokers have let us in: what they refuse afterwards may pass."""
        self._topic, self._group = settings.kafka_topic, settings.kafka_consumer_group
        self._protocol = settings.group_protocol
        self._reachability = Reachability(settings)
        self._seldom = Seldom(_TELL_EVERY_S)
        self._disagreement: str | None = None

    @property
    def problem(self) -> str | None:
        """Say why the group cannot be joined, as far as that is known."""
        return self._reachability.problem or self._disagreement

    def joined(self) -> None:
        """Note that the group has taken us in."""
        self.has_joined = True
        self._disagreement = None

    def client(self, error: KafkaError) -> None:
        """Handle an error of the client's connections. Called inside ``poll``, which raises what this raises.

        Raises:
            SettingsError: the brokers refuse us. Once they have let us in, a refusal may pass: one that starts has not
                read its passwords yet. And one broker's bad certificate must not end all consumers.
        """
        refusal = refusal_of(error)
        if refusal and not self.has_joined and error.code() != KafkaError._SSL:
            raise SettingsError(refusal)
        if not refusal and self._reachability.heard(error):
            return
        if self._seldom.is_due(("client", error.code())):
            log.warning("Kafka: %s", refusal or error.str())

    def record(self, error: KafkaError) -> None:
        """Handle an error that came in place of a record.

        Raises:
            VeloxError: it is one that only a restart, or somebody, mends.
        """
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            msg = f"AUTO_OFFSET_RESET=error: {error.str()}; set earliest or latest, or reset the group's offsets"
            raise VeloxError(msg)
        if error.fatal() or error.code() == KafkaError._FATAL:
            msg = f"Kafka: {error.str()}; this member of the group cannot go on, start the consumer again"
            raise VeloxError(msg)
        if error.code() in DENIED:
            msg = (
                f"Kafka refuses {self._topic}: {error.str()}; let KAFKA_SASL_USERNAME or the certificate's owner read "
                f"this topic and KAFKA_CONSUMER_GROUP={self._group}"
            )
            raise VeloxError(msg)
        problem = error.str()
        if error.code() == KafkaError.INCONSISTENT_GROUP_PROTOCOL:
            problem = self._disagreement = (
                f"the other members of {self._group} share partitions otherwise than by "
                f"GROUP_PROTOCOL={self._protocol}: set what they use, or stop them"
            )
        if self._seldom.is_due(("record", error.code())):
            log.warning("Kafka: %s", problem)

    def beginning(self, error: KafkaError) -> None:
        """Handle that Kafka does not say where the group is in new partitions; it is asked again."""
        if not self._reachability.problem and self._seldom.is_due("beginning"):
            log.warning("Kafka does not say how far the group is: %s; asking again", error.str())

    def commit(self, at: TopicPartition, error: KafkaError) -> None:
        """Handle a refused commit; during a rebalance that is normal, and not logged."""
        if error.code() not in _RETRY_AT_NEXT_COMMIT and self._seldom.is_due(("commit", error.code())):
            log.warning("Commit of %s-%d at %d refused: %s", at.topic, at.partition, at.offset, error.str())

    def lag(self, refusal: str) -> None:
        """Handle that Kafka does not say where the partitions end."""
        if self._seldom.is_due("lag"):
            log.warning(
                "Kafka does not say where %s ends (%s): the lag is unknown; let KAFKA_SASL_USERNAME or the "
                "certificate's owner describe the topic",
                self._topic,
                refusal,
            )
