"""The bottleneck in one sentence, and what to do about it."""

from dataclasses import dataclass
from typing import Final

from velox.core.idleness import Cause
from velox.tools.top.figures import Figures

_MODEL: Final = (
    "the model is the bottleneck",
    "more INFERENCE_PROCESSES while there are cores or GPUs, more consumers, or a faster model",
)
_IDLE: Final = {
    Cause.NO_WORK: ("nothing is: Kafka holds no more records", "nothing to do; the producers set the pace"),
    Cause.LAG_UNKNOWN: (
        "nobody says whether Kafka holds more records",
        "the consumer's log says why the broker does not tell where the topic ends",
    ),
    Cause.FETCH: (
        "fetching is the bottleneck: Kafka holds records that are not here yet",
        "see to the network to the brokers and the CPU of the consumer's main process; more consumers",
    ),
    Cause.QUEUE_SIZE: (
        "QUEUE_SIZE is the bottleneck: other inference processes have all that may be in flight",
        "at least 4 × BATCH_SIZE × INFERENCE_PROCESSES; raise QUEUE_BYTES too when records are large",
    ),
    Cause.SINK: (
        "a sink is the bottleneck: what is predicted is not stored yet",
        "make the sink faster, or ask less of it: STORE=detections; the consumer's log names one that is down",
    ),
    Cause.DOWNLOAD: (
        "the bucket is the bottleneck: records are here, and their payloads are not",
        "raise DOWNLOADS, or use a nearer bucket; the consumer's log names one that is down",
    ),
    Cause.CIRCUIT: (
        "the circuit is open: too many records were bad",
        "read some with `velox dlq list`, mend the cause, start the consumer again",
    ),
    Cause.HAND_OVER: (
        "handing over between processes is the bottleneck",
        "fewer INFERENCE_PROCESSES when they are more than the cores; a larger BATCH_SIZE when the model is quick",
    ),
    Cause.BATCH_WAIT: (
        "nothing is: records wait for company",
        "BATCH_TIMEOUT_MS=auto, or a lower LATENCY_TARGET_MS, when latency matters",
    ),
    Cause.DECODE: (
        "decoding is the bottleneck",
        "more INFERENCE_PROCESSES (on a GPU DECODE_THREADS) while there are cores, PREPROCESSING=fast, smaller images",
    ),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What takes most of the inference processes' time."""

    bottleneck: str
    """``inference``, or the cause for which devices are idle; empty when nothing was measured."""
    says: str
    remedy: str


def judge(figures: Figures) -> Verdict:
    """Name what most of the time goes to."""
    if not figures.is_measured:
        return Verdict(
            "", "no inference process is ready", "/readyz and the consumer's log say why; wait while it loads"
        )
    cause = max(figures.idle, key=lambda cause: figures.idle[cause])
    share = figures.idle[cause]
    if figures.predicting >= share:
        what, remedy = _MODEL
        return Verdict("inference", f"{what} (devices predict {figures.predicting:.0%} of the time)", remedy)
    what, remedy = _IDLE[cause]
    return Verdict(cause.value, f"{what} (devices are idle for it {share:.0%} of the time)", remedy)
