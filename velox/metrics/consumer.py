"""What a consumer measures, all its processes together."""

from collections import Counter
from collections.abc import Iterable
from itertools import product
from typing import Final

from velox.core.idleness import Cause
from velox.metrics.metric import Metrics, Series, counter, gauge, histogram

_SHORT_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LONG_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
_BATCH: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class ConsumerMetrics(Metrics):
    """The catalogue of a consumer."""

    records = counter(
        "velox_records_total",
        "Records done, by outcome: predicted, dead_lettered or dropped; the model of those predicted.",
        "No growth while lag grows: look at velox_ready and the consumer's log.",
        labels=("outcome", "topic", "model"),
    )
    detections = counter(
        "velox_detections_total",
        "Detections stored, by label; `other` for all labels beyond the first 1,000 series.",
        "None where some are expected: check TARGET_LABELS, CONFIDENCE_THRESHOLD and the model's labels.",
        labels=("label", "topic"),
    )
    targets = counter(
        "target_shapes_found_total",
        "Detections stored, all labels and topics together.",
        "As velox_detections_total.",
    )
    confidence = gauge(
        "batch_avg_confidence",
        "Mean top-1 confidence of the last batch.",
        "A lasting fall: the images have changed; look at some, retrain.",
    )
    dead_letters = counter(
        "velox_dead_letters_total",
        "Records sent to the dead-letter topic, by reason.",
        "Read the topic's headers: they name the source position and the error.",
        labels=("reason", "topic"),
    )
    dropped = counter(
        "velox_dropped_records_total",
        "Records that need no prediction, by cause: null_value (a key that Kafka is told to delete), deadline_passed "
        "(nobody waits for it any more), no_object (a bucket's notification of something else); with FRESHNESS=latest "
        "superseded (by a newer one of its topic), stale (STALE_AFTER_MS), object_gone (its frame was deleted).",
        "null_value on a topic that is not compacted: see what its producers send. deadline_passed: consumers are too "
        "far behind for those who ask; add some. superseded: add consumers to see more frames.",
        labels=("cause", "topic"),
    )
    decode_warnings = counter(
        "velox_decode_warnings_total",
        "Records predicted although something is wrong with their payload, such as a JPEG without its end.",
        "Many: the log names one a minute and what is wrong; mend the camera, or what sends its pictures on.",
        labels=("topic",),
    )
    circuit_open = gauge(
        "velox_circuit_open",
        "1 when too many records were bad and nothing more is consumed (DEAD_LETTER_RATIO, DEAD_LETTER_RUN), else 0.",
        "Read some dead letters, mend the cause, restart the consumer.",
    )
    stage = histogram(
        "velox_stage_seconds",
        "Seconds a batch spends in a stage: queue (waiting for its process), decode, inference, sink (writing); of an "
        "object, download.",
        "The stage that grows is the bottleneck.",
        labels=("stage", "model"),
        buckets=_SHORT_S,
    )
    idle = counter(
        "velox_device_idle_seconds_total",
        "Seconds in which inference processes, ready to predict, did not, by cause; the rest is the stage inference.",
        "The cause that grows names what to change, see operations.md: where is the time going.",
        labels=("cause",),
    )
    end_to_end = histogram(
        "velox_end_to_end_seconds",
        "Seconds from the producer's timestamp until the result is stored.",
        "Rising with lag: add inference processes or consumers.",
        labels=("topic", "model"),
        buckets=_LONG_S,
    )
    request = histogram(
        "velox_request_seconds",
        "Seconds from a request's arrival at the gateway until what became of it is in the store, by model and outcome "
        "(completed, failed, deadline_passed); `_count` counts them. Only with the sink `requests`.",
        "Rising with velox_requests_pending: add workers. failed: see velox_dead_letters_total for the reasons.",
        labels=("model", "outcome"),
        buckets=_LONG_S,
    )
    batch_size = histogram(
        "velox_batch_size",
        "Records predicted together.",
        "Always 1 under load: as it should be where velox_compute_seconds says that batches save nothing.",
        buckets=_BATCH,
    )
    batch_limit = gauge(
        "velox_batch_limit_records",
        "Records predicted at once at most: BATCH_SIZE, or fewer where an inference process ran out of memory.",
        "Below BATCH_SIZE for long: lower BATCH_SIZE or INFERENCE_PROCESSES, or see what else takes the memory.",
    )
    batch_aim = gauge(
        "velox_batch_aim_records",
        "Records that a batch waits for, at the present rate; 1: it takes what is there. Fixed wait: BATCH_SIZE.",
        "At BATCH_SIZE for long: raise it, larger batches would spare the device.",
    )
    batch_wait = gauge(
        "velox_batch_wait_seconds",
        "Seconds that the first record of a batch waits for them at most, at present.",
        "Longer than records may wait: lower LATENCY_TARGET_MS, or BATCH_TIMEOUT_MS if that is given.",
    )
    compute = gauge(
        "velox_compute_seconds",
        "Seconds that a batch takes, as learnt: per batch, and besides per record in it.",
        "per=record grows by itself: the machine does more than predict.",
        labels=("per",),
    )
    arrival_rate = gauge(
        "velox_arrival_rate_records",
        "Records per second that reach the inference processes, as estimated when the last batch was decided on.",
        'Times velox_compute_seconds{per="record"} above the number of processes: lag grows.',
    )
    in_flight_records = gauge(
        "velox_in_flight_records",
        "Records fetched and not yet done; at most QUEUE_SIZE.",
        "At QUEUE_SIZE: the model or a sink is the bottleneck, see velox_stage_seconds.",
    )
    in_flight_bytes = gauge(
        "velox_in_flight_bytes",
        "Bytes of the records in flight; from QUEUE_BYTES on, nothing more is fetched.",
        "At QUEUE_BYTES: as velox_in_flight_records at QUEUE_SIZE.",
    )
    in_flight_limit_records = gauge(
        "velox_in_flight_limit_records",
        "The bound of velox_in_flight_records: QUEUE_SIZE.",
        "Raise QUEUE_SIZE when inference processes starve below it.",
    )
    in_flight_limit_bytes = gauge(
        "velox_in_flight_limit_bytes",
        "The bound of velox_in_flight_bytes: QUEUE_BYTES.",
        "Raise QUEUE_BYTES when large images keep velox_in_flight_records far below QUEUE_SIZE, and memory allows.",
    )
    lag = gauge(
        "velox_consumer_lag_records",
        "Records in a partition after the last one fetched from it.",
        "Growing: more consumers (up to the number of partitions) or more inference processes.",
        labels=("topic", "partition"),
    )
    expired = counter(
        "velox_expired_records_total",
        "Records lost, as Kafka's retention removed them before they were read.",
        "Any: lengthen the topic's retention, then add consumers until the lag is gone.",
    )
    damaged = counter(
        "velox_damaged_records_total",
        "Records lost, at most, in batches that Kafka holds damaged and DAMAGED_BATCHES=skip has passed over.",
        "Any: look at the brokers' disks; raise the replication, so that there is another copy.",
    )
    damaged_partitions = gauge(
        "velox_damaged_partitions",
        "Partitions that stand still at a batch that cannot be read.",
        "Any: the log names topic, partition and offset; restore it, or set DAMAGED_BATCHES=skip.",
    )
    commits_refused = counter(
        "velox_commits_refused_total",
        "Offset commits of a partition that Kafka refused, by the driver's name for the error; they are tried again.",
        "Some during a rebalance are usual. Growing without one: records are read again after a restart; see the log.",
        labels=("code",),
    )
    assigned = gauge(
        "velox_assigned_partitions",
        "Partitions this consumer owns.",
        "0 for long: there are more consumers than partitions, or the group does not come to rest.",
    )
    sink_retries = counter(
        "velox_sink_retries_total",
        "Failed writes to a sink (or dead-letter topic) that will be tried again.",
        "The log names the error; consuming goes on by itself when the sink is back.",
        labels=("sink",),
    )
    object_bytes = counter(
        "velox_object_bytes_total",
        "Bytes of payloads read from the bucket.",
        "Its rate is what the bucket and the network have to bear.",
    )
    objects_in_progress = gauge(
        "velox_objects_in_progress",
        "Objects that are being read from the bucket; at most DOWNLOADS.",
        "At DOWNLOADS while devices are idle for `download`: raise DOWNLOADS, or use a nearer bucket.",
    )
    object_errors = counter(
        "velox_object_errors_total",
        "Reads of an object that failed, by reason: unavailable, or a reason of dead letters. Many are tried again.",
        "unavailable: the log names the error. Others: see velox_dead_letters_total.",
        labels=("reason",),
    )
    bucket_up = gauge(
        "velox_bucket_up",
        "1 when the bucket answered at the last try, or payloads are in the records; else 0.",
        "0: the log and /readyz name the cause; it goes on by itself.",
    )
    restarts = counter(
        "velox_inference_restarts_total",
        "Inference processes replaced after they died or hung.",
        "More than a few: look for killed_inference dead letters and at memory limits.",
    )
    shadow = counter(
        "velox_shadow_total",
        "Records offered to a version that shadows (`model` names it), by outcome: agreed, disagreed, skipped, failed.",
        "disagreed: `velox model compare` shows examples. failed: the log says why. skipped: it has no room for them.",
        labels=("model", "outcome"),
    )
    processes = gauge(
        "velox_inference_processes",
        "Inference processes ready to predict, by device.",
        "Fewer than configured for long: see velox_inference_restarts_total.",
        labels=("device",),
    )
    model_load = gauge(
        "velox_model_load_seconds",
        "Seconds from the start of the inference process that was ready last until its model was loaded and warm.",
        "Near INFERENCE_START_TIMEOUT_S: raise that; on a CPU, a machine with less to do loads faster.",
    )
    ready = gauge(
        "velox_ready",
        "1 when model, sinks and partitions are ready, else 0.",
        "/readyz names the cause.",
    )
    storage_free = gauge(
        "velox_storage_free_bytes",
        "Bytes free where STORAGE_PATH lies; NaN when it cannot be asked.",
        "Falling towards 0: remove old images, or raise CONFIDENCE_THRESHOLD.",
    )
    started = gauge(
        "velox_start_time_seconds",
        "When this consumer started, in Unix seconds.",
        "Changes again and again: the end of the consumer's log names the cause.",
    )
    build = gauge(
        "velox_build_info",
        "Always 1; the labels name the version and the model.",
        "More than one version for long: a roll-out is stuck.",
        labels=("version", "model", "model_version"),
    )

    def __init__(self) -> None:
        """Create them all, at zero; those with known labels show them from the beginning."""
        super().__init__()
        self.stages = Series(self.stage)
        self._requests = Series(self.request)
        self._topics: set[str] = set()
        self._ready: dict[object, Counter[str]] = {}
        self._models: set[str] = set()
        for cause in Cause:
            self.idle.labels(cause.value)
        self.object_errors.labels("unavailable")
        self.commits_refused.labels("REBALANCE_IN_PROGRESS")

    def reads(self, topics: Iterable[str]) -> None:
        """Show what is counted of these topics from now on: a rate needs the zero before the first record."""
        for topic in set(topics) - self._topics:
            self._topics.add(topic)
            for outcome in ("dead_lettered", "dropped"):
                self.records.labels(outcome, topic, "")
            for cause in ("null_value", "deadline_passed", "no_object"):
                self.dropped.labels(cause, topic)
            self.decode_warnings.labels(topic)
            self._show([topic], tuple(self._models))

    def predicts_with(self, model: str) -> None:
        """Show what is counted of this model from now on."""
        self._models.add(model)
        self._show(tuple(self._topics), [model])

    def count_ready(self, owner: object, devices: Iterable[str]) -> None:
        """Show the ready processes by device, those of several owners together."""
        self._ready[owner] = Counter(devices)
        self.processes.clear()
        for device, count in sum(self._ready.values(), Counter[str]()).items():
            self.processes.labels(device).set(count)

    def drop(self, cause: str, topic: str) -> None:
        """Count a record that needs no prediction."""
        self.records.labels("dropped", topic, "").inc()
        self.dropped.labels(cause, topic).inc()

    def finish(self, model: str, outcome: str, seconds: float) -> None:
        """Count a request that has its outcome."""
        self._requests[model, outcome].observe(seconds)

    def _show(self, topics: Iterable[str], models: Iterable[str]) -> None:
        # Two threads may come here at once. Each has added its own before it looks at the other's: none is left out.
        for topic, model in product(topics, models):
            self.records.labels("predicted", topic, model)
            self.end_to_end.labels(topic, model)
