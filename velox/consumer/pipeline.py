"""How a consumer is put together: the one place that makes its parts and says where a record goes from each."""

from collections.abc import Sequence
from dataclasses import dataclass

from velox.buckets import bucket
from velox.consumer.dispatch import Dispatcher
from velox.consumer.downloads import Downloads
from velox.consumer.exactly_once import ExactlyOnce
from velox.consumer.fetcher import Fetcher
from velox.consumer.flight import Flight
from velox.consumer.stages import Stages
from velox.consumer.writer import Writer
from velox.core.circuit import Circuit
from velox.core.envelope import Codec
from velox.kafka.client import KafkaClient
from velox.kafka.dead_letters import DeadLetters
from velox.loading import load_class
from velox.metrics.consumer import ConsumerMetrics
from velox.settings import Settings
from velox.sinks import paths
from velox.sinks.sink import Sink


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A consumer, ready to be started."""

    kafka: KafkaClient
    fetcher: Fetcher
    stages: Stages


def build(settings: Settings, devices: Sequence[str], metrics: ConsumerMetrics) -> Pipeline:
    """Make the parts. Each is given the one that a record goes to next, so read it from below: the last comes first.

    Kafka's client hands messages to the fetcher; that makes records of them; the downloads give those a payload
    that have only a pointer to one, where there is a bucket; the dispatcher hands them to the inference processes; what
    the inference processes answer goes to the writer; what the sinks have taken is done, and no longer in flight; and
    what is done, the fetcher commits.

    Raises:
        VeloxError: a setting names what does not exist, or the driver refuses its configuration. Nothing that can fail
            comes after the inference processes, which are started here and nobody else would end.
    """
    flight = Flight(
        max_records=settings.queue_size,
        max_bytes=settings.queue_bytes,
        circuit=Circuit(
            ratio=settings.dead_letter_ratio, window=settings.dead_letter_window, run=settings.dead_letter_run
        ),
    )
    kafka = KafkaClient(settings)
    objects = bucket(settings) if settings.codec is Codec.KEY else None
    exactly_once = (
        ExactlyOnce(settings, metrics, flight.offsets, kafka) if settings.delivery == "exactly_once" else None
    )
    writer = Writer(settings, _sinks(settings, exactly_once), DeadLetters(settings), metrics, done=flight.done)
    dispatcher = Dispatcher(settings, devices, metrics, answered=writer.submit)
    downloads = (
        Downloads(settings, objects, flight, metrics, onward=dispatcher.submit, failed=writer.submit)
        if objects
        else None
    )
    stages = Stages(downloads=downloads, dispatcher=dispatcher, writer=writer, exactly_once=exactly_once, flight=flight)
    return Pipeline(kafka, Fetcher(settings, metrics, kafka, stages), stages)


def _sinks(settings: Settings, exactly_once: ExactlyOnce | None) -> list[Sink]:
    """Make them; exactly once takes the place of the sink that it has the name of."""
    sinks: list[Sink] = [load_class(path)(settings) for path in paths(settings.sinks)]
    return [exactly_once if exactly_once and sink.name == exactly_once.name else sink for sink in sinks]
