"""Where partitions end, and what it means when an end comes nearer."""

from collections.abc import Mapping
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import OFFSET_INVALID, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from velox.errors import RewoundError
from velox.kafka.ends import EndOffsets
from velox.records import Partition

P0 = Partition("image_data", 0)


class ScriptedAdmin:
    """Answers at once with the next end, or the next error."""

    answers: list[int | KafkaException]

    def list_offsets(
        self, asked: Mapping[TopicPartition, Any], *, isolation_level: IsolationLevel, request_timeout: float
    ) -> dict[TopicPartition, Future[Any]]:
        assert request_timeout > 0
        assert isolation_level is IsolationLevel.READ_UNCOMMITTED
        return {at: self._answer() for at in asked}

    def _answer(self) -> Future[Any]:
        future: Future[Any] = Future()
        answer = self.answers.pop(0)
        if isinstance(answer, int):
            future.set_result(SimpleNamespace(offset=answer))
        else:
            future.set_exception(answer)
        return future


@pytest.fixture
def end_offsets() -> EndOffsets:
    return EndOffsets(cast("AdminClient", ScriptedAdmin()))


def failure(code: int) -> KafkaException:
    return KafkaException(KafkaError(code))


def test_the_last_answer_counts(end_offsets: EndOffsets) -> None:
    ScriptedAdmin.answers = [5, failure(KafkaError._TIMED_OUT), OFFSET_INVALID, 9, 9]
    assert [end_offsets.known([P0]).get(P0) for _ in range(5)] == [None, 5, 5, 5, 9]


def test_a_topic_that_is_gone_is_told(end_offsets: EndOffsets) -> None:
    ScriptedAdmin.answers = [failure(KafkaError.UNKNOWN_TOPIC_OR_PART)]
    end_offsets.known([P0])
    with pytest.raises(RewoundError, match="image_data is gone: was it deleted"):
        end_offsets.known([P0])


def test_a_topic_that_was_made_anew_is_told(end_offsets: EndOffsets) -> None:
    ScriptedAdmin.answers = [50, 10]
    for _ in range(2):
        end_offsets.known([P0])
    with pytest.raises(RewoundError, match="image_data-0 ended at 50 and now ends at 10: was the topic created anew"):
        end_offsets.known([P0])
