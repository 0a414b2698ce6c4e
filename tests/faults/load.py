"""Records that keep coming while something breaks, and the list of those that Kafka has acknowledged."""

import threading
import time
from collections.abc import Callable
from functools import partial
from itertools import count

from confluent_kafka import KafkaException, Message, Producer

from tests.e2e.pipeline import PATIENCE_S

BAD_EVERY = 20
"""One in so many is bad data, and has to become a dead letter."""


def mixed(number: int) -> str:
    """Text the model answers with; now and then text it refuses."""
    return f"{'bad' if number % BAD_EVERY == BAD_EVERY - 1 else 'good'} {number}"


class Load:
    """Publishes at a steady rate on a thread of its own, and answers what was acknowledged under which position."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.acknowledged: dict[str, str] = {}
        self.refused: list[str] = []
        """Why Kafka did not take a record."""
        self._topic = topic
        # As Velox' own producer: a retry after a broker's death makes no second record.
        config = {"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 5, "log_level": 0}
        self._producer = Producer({**config, "topic.metadata.refresh.interval.ms": 1000})
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def publish(self, *texts: str) -> None:
        """Publish these, and see them acknowledged."""
        for text in texts:
            self._send(text)
        assert self._producer.flush(PATIENCE_S) == 0
        missing = set(texts) - set(self.acknowledged.values())
        assert not missing, f"refused: {missing}"

    def begin(self, *, rate: float = 100, text: Callable[[int], str] = mixed) -> None:
        """Publish ``text(0)``, ``text(1)``, … until ``end``."""
        self._thread = threading.Thread(target=self._run, args=(rate, text), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Publish no more. Safe twice."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def end(self) -> None:
        """Publish no more; what is on its way arrives."""
        self.stop()
        assert self._producer.flush(PATIENCE_S) == 0
        assert not self.refused, self.refused

    def _run(self, rate: float, text: Callable[[int], str]) -> None:
        started = time.monotonic()
        for number in count():
            while (early_s := started + number / rate - time.monotonic()) > 0 and not self._stop.is_set():
                self._producer.poll(min(early_s, 0.05))
            if self._stop.is_set():
                return
            try:
                self._send(text(number))
            except KafkaException as error:  # failed for good: no retry makes it a load again
                self.refused.append(str(error))
                return

    def _send(self, text: str) -> None:
        while True:
            try:
                self._producer.produce(self._topic, text.encode(), on_delivery=partial(self._delivered, text))
            except BufferError:
                self._producer.poll(0.1)
            else:
                return

    def _delivered(self, text: str, error: object, message: Message) -> None:
        if error is not None:
            self.refused.append(str(error))
        else:
            self.acknowledged[f"{message.topic()}-{message.partition()}-{message.offset()}"] = text
