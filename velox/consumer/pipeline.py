"""How a consumer is put together: the one place that makes its parts and connects them, in the order of flow."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from velox.buckets import bucket
from velox.consumer.comparison import Shadow
from velox.consumer.dispatch import Dispatcher
from velox.consumer.downloads import Downloads
from velox.consumer.exactly_once import ExactlyOnce
from velox.consumer.fetcher import Fetcher
from velox.consumer.flight import Flight
from velox.consumer.predictor import Predictor
from velox.consumer.router import Router
from velox.consumer.stages import Stages
from velox.consumer.tracing import Done, Onward, RecordSpans, Submit
from velox.consumer.writer import Writer
from velox.core.circuit import Circuit
from velox.kafka.client import KafkaClient
from velox.kafka.dead_letters import DeadLetters
from velox.loading import load_class
from velox.metrics.consumer import ConsumerMetrics
from velox.settings import InferenceSettings, Settings
from velox.settings.versions import MAIN
from velox.sinks import paths
from velox.sinks.sink import Measuring, Sink
from velox.spans import connect

_ELSEWHERE: Final = {"serve": "velox.cluster.predictor:ServePredictor"}
"""By PREDICTOR, what predicts elsewhere than in inference processes; loaded with whatever it needs, or not at all."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A consumer, made and ready to be started."""

    kafka: KafkaClient
    fetcher: Fetcher
    stages: Stages
    spans: RecordSpans | None = None
    """Stands between the parts, where spans are wanted."""

    def start(self) -> None:
        """Start the parts, and tell each where a record goes next. From top to bottom, this is a record's way.

        What the fetcher takes from Kafka waits for its payload if it has only a pointer to one, then for an inference
        process, then to be written to sinks or dead letters. Then it is done, and the fetcher commits it. What turns
        out to be bad on the way goes straight to the writer.
        """
        downloads, dispatcher, writer = self.stages.downloads, self.stages.dispatcher, self.stages.writer
        fetched: Onward = (downloads or dispatcher).submit
        downloaded: Onward = dispatcher.submit
        answered: Submit = writer.submit
        done: Done = self.stages.flight.done
        if spans := self.spans:
            fetched, downloaded = spans.wanting(fetched), spans.downloaded(downloaded)
            answered, done = spans.answered(answered), spans.done(done)
        self.fetcher.start(onward=fetched, failed=answered)
        if downloads:
            downloads.start(onward=downloaded, failed=answered)
        dispatcher.start(answered=answered)
        writer.start(done=done, is_behind=dispatcher.is_behind)

    def join_group(self, *, is_stopping: Callable[[], bool]) -> None:
        """Let records in: the fetcher hears which partitions it owns, and the flight what Kafka has committed."""
        self.kafka.subscribe(self.fetcher, self.stages.flight.offsets.committed, is_stopping=is_stopping)


def build(settings: Settings, devices: Sequence[str], metrics: ConsumerMetrics) -> Pipeline:
    """Make the parts, in the order in which a record meets them. Nothing is started; ``Pipeline.start`` does that.

    Raises:
        VeloxError: a setting names what does not exist, or the driver refuses its configuration.
    """
    flight = Flight(
        max_records=settings.queue_size,
        max_bytes=settings.queue_bytes,
        circuit=Circuit(
            ratio=settings.dead_letter_ratio, window=settings.dead_letter_window, run=settings.dead_letter_run
        ),
    )
    kafka = KafkaClient(settings)
    predictor = _predictor(settings, devices, metrics)
    objects = None if predictor.reads_objects else bucket(settings)
    locate = settings.object_url if settings.has_objects else None
    exactly_once = (
        ExactlyOnce(settings, metrics, flight.offsets, kafka) if settings.delivery == "exactly_once" else None
    )
    stages = Stages(
        downloads=Downloads(settings, objects, flight, metrics) if objects else None,
        dispatcher=predictor,
        writer=Writer(settings, _sinks(settings, exactly_once, metrics), DeadLetters(settings), metrics, locate),
        exactly_once=exactly_once,
        flight=flight,
    )
    spans = connect(settings, "consumer")
    return Pipeline(kafka, Fetcher(settings, metrics, kafka, stages), stages, RecordSpans(spans) if spans else None)


def _predictor(settings: Settings, devices: Sequence[str], metrics: ConsumerMetrics) -> Predictor:
    if settings.predictor in _ELSEWHERE:
        elsewhere: Predictor = load_class(_ELSEWHERE[settings.predictor])(settings, metrics)
        return elsewhere
    if settings.has_versions:
        return _router(settings, devices, metrics)
    return Dispatcher(settings, devices, metrics)


def _router(settings: Settings, devices: Sequence[str], metrics: ConsumerMetrics) -> Router:
    """Make a dispatcher for each version; the shadow's metrics are nobody's, so that they are not taken for ours."""

    def told(path: Path) -> InferenceSettings:
        return settings.part(InferenceSettings).model_copy(update={"model_path": path})

    paths_of = {MAIN: settings.model_path, **settings.versions}
    shadow = None
    if name := settings.model_shadow:
        shadow = Shadow(
            name,
            Dispatcher(told(paths_of.pop(name)), devices, ConsumerMetrics()),
            metrics,
            most_records=4 * settings.batch_size * len(devices),
            most_bytes=settings.queue_bytes // 4,
        )
    dispatchers = {name: Dispatcher(told(path), devices, metrics) for name, path in paths_of.items()}
    return Router(dispatchers, settings.shares, settings.default_version, shadow)


def _sinks(settings: Settings, exactly_once: ExactlyOnce | None, metrics: ConsumerMetrics) -> list[Sink]:
    """Make them; exactly once takes the place of the sink that it has the name of."""
    sinks: list[Sink] = [load_class(path)(settings) for path in paths(settings.sinks)]
    for sink in sinks:
        if isinstance(sink, Measuring):
            sink.measure(metrics.finish)
    return [exactly_once if exactly_once and sink.name == exactly_once.name else sink for sink in sinks]
