"""The catalogue of all metrics: name, labels, meaning, and what to do about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from velox.core.idleness import Cause

_SHORT_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LONG_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
_BATCH: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


@dataclass(frozen=True, slots=True)
class Spec:
    """One metric as the user meets it."""

    name: str
    kind: str
    meaning: str
    action: str
    labels: Sequence[str] = ()
    buckets: Sequence[float] = ()


RECORDS = Spec(
    "velox_records_total",
    "counter",
    "Records done, by outcome: predicted or dead_lettered.",
    "No growth while lag grows: look at velox_ready and the consumer's log.",
    ("outcome",),
)
DETECTIONS = Spec(
    "velox_detections_total",
    "counter",
    "Detections stored, by label.",
    "None where some are expected: check TARGET_LABELS, CONFIDENCE_THRESHOLD and the model's labels.",
    ("label",),
)
TARGETS = Spec(
    "target_shapes_found_total",
    "counter",
    "Detections stored, all labels together.",
    "As velox_detections_total.",
)
CONFIDENCE = Spec(
    "batch_avg_confidence",
    "gauge",
    "Mean top-1 confidence of the last batch.",
    "A lasting fall: the images have changed; look at some, retrain.",
)
DEAD_LETTERS = Spec(
    "velox_dead_letters_total",
    "counter",
    "Records sent to the dead-letter topic, by reason.",
    "Read the topic's headers: they name the source position and the error.",
    ("reason",),
)
CIRCUIT_OPEN = Spec(
    "velox_circuit_open",
    "gauge",
    "1 when too many records were bad and nothing more is consumed (DEAD_LETTER_RATIO, DEAD_LETTER_RUN), else 0.",
    "Read some dead letters, mend the cause, restart the consumer.",
)
STAGE = Spec(
    "velox_stage_seconds",
    "histogram",
    "Seconds a batch spends in a stage: queue (waiting for its process), decode, inference, sink (writing).",
    "The stage that grows is the bottleneck.",
    ("stage",),
    _SHORT_S,
)
IDLE = Spec(
    "velox_device_idle_seconds_total",
    "counter",
    "Seconds in which inference processes, ready to predict, did not, by cause; the rest is the stage inference.",
    "The cause that grows names what to change, see operations.md: where is the time going.",
    ("cause",),
)
END_TO_END = Spec(
    "velox_end_to_end_seconds",
    "histogram",
    "Seconds from the producer's timestamp until the result is stored.",
    "Rising with lag: add inference processes or consumers.",
    (),
    _LONG_S,
)
BATCH_SIZE = Spec(
    "velox_batch_size",
    "histogram",
    "Records predicted together.",
    "Always 1 under load: as it should be where velox_compute_seconds says that batches save nothing.",
    (),
    _BATCH,
)
BATCH_LIMIT = Spec(
    "velox_batch_limit_records",
    "gauge",
    "Records predicted at once at most: BATCH_SIZE, or fewer where an inference process ran out of memory.",
    "Below BATCH_SIZE for long: lower BATCH_SIZE or INFERENCE_PROCESSES, or see what else takes the memory.",
)
BATCH_AIM = Spec(
    "velox_batch_aim_records",
    "gauge",
    "Records that a batch waits for, at the present rate; 1: it takes what is there. With a fixed wait: BATCH_SIZE.",
    "At BATCH_SIZE for long: raise it, larger batches would spare the device.",
)
BATCH_WAIT = Spec(
    "velox_batch_wait_seconds",
    "gauge",
    "Seconds that the first record of a batch waits for them at most, at present.",
    "Longer than records may wait: lower LATENCY_TARGET_MS, or BATCH_TIMEOUT_MS if that is given.",
)
COMPUTE = Spec(
    "velox_compute_seconds",
    "gauge",
    "Seconds that a batch takes, as learnt: per batch, and besides per record in it.",
    "per=record grows by itself: the machine does more than predict.",
    ("per",),
)
ARRIVAL_RATE = Spec(
    "velox_arrival_rate_records",
    "gauge",
    "Records per second that reach the inference processes, as estimated when the last batch was decided on.",
    'Times velox_compute_seconds{per="record"} above the number of processes: lag grows.',
)
IN_FLIGHT_RECORDS = Spec(
    "velox_in_flight_records",
    "gauge",
    "Records fetched and not yet done; at most QUEUE_SIZE.",
    "At QUEUE_SIZE: the model or a sink is the bottleneck, see velox_stage_seconds.",
)
IN_FLIGHT_BYTES = Spec(
    "velox_in_flight_bytes",
    "gauge",
    "Bytes of the records in flight; from QUEUE_BYTES on, nothing more is fetched.",
    "At QUEUE_BYTES: as velox_in_flight_records at QUEUE_SIZE.",
)
IN_FLIGHT_LIMIT_RECORDS = Spec(
    "velox_in_flight_limit_records",
    "gauge",
    "The bound of velox_in_flight_records: QUEUE_SIZE.",
    "Raise QUEUE_SIZE when inference processes starve below it.",
)
IN_FLIGHT_LIMIT_BYTES = Spec(
    "velox_in_flight_limit_bytes",
    "gauge",
    "The bound of velox_in_flight_bytes: QUEUE_BYTES.",
    "Raise QUEUE_BYTES when large images keep velox_in_flight_records far below QUEUE_SIZE, and memory allows.",
)
LAG = Spec(
    "velox_consumer_lag_records",
    "gauge",
    "Records in a partition after the last one fetched from it.",
    "Growing: more consumers (up to the number of partitions) or more inference processes.",
    ("topic", "partition"),
)
EXPIRED = Spec(
    "velox_expired_records_total",
    "counter",
    "Records lost, as Kafka's retention removed them before they were read.",
    "Any: lengthen the topic's retention, then add consumers until the lag is gone.",
)
ASSIGNED = Spec(
    "velox_assigned_partitions",
    "gauge",
    "Partitions this consumer owns.",
    "0 for long: there are more consumers than partitions, or the group does not come to rest.",
)
SINK_RETRIES = Spec(
    "velox_sink_retries_total",
    "counter",
    "Failed writes to a sink (or dead-letter topic) that will be tried again.",
    "The log names the error; consuming goes on by itself when the sink is back.",
    ("sink",),
)
RESTARTS = Spec(
    "velox_inference_restarts_total",
    "counter",
    "Inference processes replaced after they died or hung.",
    "More than a few: look for killed_inference dead letters and at memory limits.",
)
PROCESSES = Spec(
    "velox_inference_processes",
    "gauge",
    "Inference processes ready to predict, by device.",
    "Fewer than configured for long: see velox_inference_restarts_total.",
    ("device",),
)
READY = Spec(
    "velox_ready",
    "gauge",
    "1 when model, sinks and partitions are ready, else 0.",
    "/readyz names the cause.",
)
STORAGE_FREE = Spec(
    "velox_storage_free_bytes",
    "gauge",
    "Bytes free where STORAGE_PATH lies; NaN when it cannot be asked.",
    "Falling towards 0: remove old images, or raise CONFIDENCE_THRESHOLD.",
)
STARTED = Spec(
    "velox_start_time_seconds",
    "gauge",
    "When this consumer started, in Unix seconds.",
    "Changes again and again: the end of the consumer's log names the cause.",
)
BUILD = Spec(
    "velox_build_info",
    "gauge",
    "Always 1; the labels name the version and the model.",
    "More than one version for long: a roll-out is stuck.",
    ("version", "model", "model_version"),
)
CATALOGUE: Final = (
    RECORDS,
    DETECTIONS,
    TARGETS,
    CONFIDENCE,
    DEAD_LETTERS,
    CIRCUIT_OPEN,
    STAGE,
    IDLE,
    END_TO_END,
    BATCH_SIZE,
    BATCH_LIMIT,
    BATCH_AIM,
    BATCH_WAIT,
    COMPUTE,
    ARRIVAL_RATE,
    IN_FLIGHT_RECORDS,
    IN_FLIGHT_BYTES,
    IN_FLIGHT_LIMIT_RECORDS,
    IN_FLIGHT_LIMIT_BYTES,
    LAG,
    EXPIRED,
    ASSIGNED,
    SINK_RETRIES,
    RESTARTS,
    PROCESSES,
    READY,
    STORAGE_FREE,
    STARTED,
    BUILD,
)


class Metrics:
    """The metrics of one consumer, in a registry of their own; any thread may update them."""

    def __init__(self) -> None:
        """Create them all, at zero."""
        self.registry = CollectorRegistry()
        self.records = self._counter(RECORDS)
        self.detections = self._counter(DETECTIONS)
        self.targets = self._counter(TARGETS)
        self.idle = self._counter(IDLE)
        self.dead_letters = self._counter(DEAD_LETTERS)
        self.expired = self._counter(EXPIRED)
        self.circuit_open = self._gauge(CIRCUIT_OPEN)
        self.sink_retries = self._counter(SINK_RETRIES)
        self.restarts = self._counter(RESTARTS)
        self.confidence = self._gauge(CONFIDENCE)
        self.batch_limit = self._gauge(BATCH_LIMIT)
        self.batch_aim = self._gauge(BATCH_AIM)
        self.batch_wait = self._gauge(BATCH_WAIT)
        self.compute = self._gauge(COMPUTE)
        self.arrival_rate = self._gauge(ARRIVAL_RATE)
        self.in_flight_records = self._gauge(IN_FLIGHT_RECORDS)
        self.in_flight_bytes = self._gauge(IN_FLIGHT_BYTES)
        self.in_flight_limit_records = self._gauge(IN_FLIGHT_LIMIT_RECORDS)
        self.in_flight_limit_bytes = self._gauge(IN_FLIGHT_LIMIT_BYTES)
        self.lag = self._gauge(LAG)
        self.assigned = self._gauge(ASSIGNED)
        self.processes = self._gauge(PROCESSES)
        self.ready = self._gauge(READY)
        self.storage_free = self._gauge(STORAGE_FREE)
        self.started = self._gauge(STARTED)
        self.build = self._gauge(BUILD)
        self.stage = self._histogram(STAGE)
        self.end_to_end = self._histogram(END_TO_END)
        self.batch_size = self._histogram(BATCH_SIZE)
        for outcome in ("predicted", "dead_lettered"):
            self.records.labels(outcome)
        for cause in Cause:
            self.idle.labels(cause.value)

    def _counter(self, spec: Spec) -> Counter:
        return Counter(spec.name, spec.meaning, spec.labels, registry=self.registry)

    def _gauge(self, spec: Spec) -> Gauge:
        return Gauge(spec.name, spec.meaning, spec.labels, registry=self.registry)

    def _histogram(self, spec: Spec) -> Histogram:
        return Histogram(spec.name, spec.meaning, spec.labels, registry=self.registry, buckets=spec.buckets)
