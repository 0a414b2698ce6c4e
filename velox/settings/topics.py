"""Which topics a pipeline has: of its records, of dead letters, of results."""

from typing import Final, Self

from pydantic import model_validator

from velox.core.subscription import TOPIC_CHARACTERS
from velox.settings.kafka import ClientSettings
from velox.settings.sinks import DeadLetterSettings, ResultsTopicSettings

_SUFFIXES: Final = {"DEAD_LETTER_TOPIC": ".dlq", "RESULTS_TOPIC": ".results"}
"""What makes the names of other topics from that of the records."""
_READ_AGAIN: Final = {"DEAD_LETTER_TOPIC": "dead letters", "RESULTS_TOPIC": "results"}
"""What they hold, and must not be read."""


class TopicSettings(ClientSettings, DeadLetterSettings, ResultsTopicSettings):
    """What a client of Kafka gets that writes to any of a pipeline's topics, and names them."""

    @model_validator(mode="after")
    def _other_topics_are_named(self) -> Self:
        """Several topics have no name that others could be made from."""
        if self.subscription.is_one:
            return self
        what = "several topics" if self.subscription.names else "a pattern"
        for setting, of in (("DEAD_LETTER_TOPIC", "dead letters"), ("RESULTS_TOPIC", "results")):
            is_needed = setting == "DEAD_LETTER_TOPIC" or "kafka" in self.sinks
            if is_needed and getattr(self, setting.lower()) == "auto":
                msg = f"KAFKA_TOPIC={self.kafka_topic} is {what}: name the topic of their {of} with {setting}"
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _topics_are_three(self) -> Self:
        names = self.topics
        if self.results_topic == "auto" and "kafka" not in self.sinks:
            names.pop("RESULTS_TOPIC", None)
        records = names.pop("KAFKA_TOPIC")
        for setting, name in names.items():
            if len(name) > TOPIC_CHARACTERS:
                remedy = f"shorten KAFKA_TOPIC, or name another topic with {setting}"
                msg = f"{setting}={name} has {len(name)} characters, and Kafka takes {TOPIC_CHARACTERS}; {remedy}"
                raise ValueError(msg)
            if self.subscription.takes(name):
                is_it = "is KAFKA_TOPIC too" if self.subscription.is_one else f"is among KAFKA_TOPIC={records} too"
                remedy = (
                    "name another topic" if self.subscription.names else "name another topic, or narrow the pattern"
                )
                msg = f"{setting}={name} {is_it}: {_READ_AGAIN[setting]} would be read as records for ever; {remedy}"
                raise ValueError(msg)
        if names.get("RESULTS_TOPIC") == names["DEAD_LETTER_TOPIC"]:
            msg = (
                f"RESULTS_TOPIC={names['RESULTS_TOPIC']} is DEAD_LETTER_TOPIC too: results would lie among dead letters"
            )
            raise ValueError(f"{msg}; name another topic")
        return self

    @property
    def topics(self) -> dict[str, str]:
        """Name the topics of records, dead letters and results, each under the setting that decides on it.

        That of the records is as it is written: it may be several. Of several, results have a topic only if one is
        named.
        """
        named = {"DEAD_LETTER_TOPIC": self.dead_letter_topic, "RESULTS_TOPIC": self.results_topic}
        topics = {"KAFKA_TOPIC": self.kafka_topic}
        for setting, name in named.items():
            if name != "auto":
                topics[setting] = name
            elif self.subscription.is_one:
                topics[setting] = self.kafka_topic + _SUFFIXES[setting]
        return topics
