"""What is seen of inference processes: their metrics, and a warning where settings and model do not fit."""

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from time import monotonic

from velox import __version__
from velox.consumer.messages import Answers
from velox.consumer.process import InferenceProcess
from velox.core.targets import TargetRule
from velox.core.text import listed
from velox.metrics.consumer import ConsumerMetrics
from velox.records import ModelInfo, Prediction
from velox.settings import InferenceSettings

log = logging.getLogger(__name__)


def show_decisions(metrics: ConsumerMetrics, processes: Callable[[], Iterable[InferenceProcess]]) -> None:
    """Let those who read the metrics ask what the processes have decided: of unequal ones, the largest."""

    def largest(name: str) -> float:
        return float(max(getattr(process.decision, name) for process in processes()))

    metrics.batch_aim.set_function(partial(largest, "aim"))
    metrics.batch_wait.set_function(partial(largest, "wait_s"))
    metrics.compute.labels("batch").set_function(partial(largest, "batch_s"))
    metrics.compute.labels("record").set_function(partial(largest, "record_s"))
    metrics.arrival_rate.set_function(lambda: sum(process.decision.rate for process in processes()))


def observe(metrics: ConsumerMetrics, answers: Answers, model: ModelInfo | None, *, batch_limit: int) -> None:
    """Count a batch that was answered; ``batch_limit`` is the least of all processes."""
    name = model.name if model else ""
    metrics.stages["queue", name].observe(answers.queue_s)
    metrics.stages["decode", name].observe(answers.decode_s)
    metrics.stages["inference", name].observe(answers.inference_s)
    metrics.batch_size.observe(len(answers.answers))
    metrics.batch_limit.set(batch_limit)
    if confidences := [a.confidence for _, a in answers.answers if isinstance(a, Prediction)]:
        metrics.confidence.set(sum(confidences) / len(confidences))


def count_ready(metrics: ConsumerMetrics, processes: Iterable[InferenceProcess]) -> None:
    """Show how many processes are ready, by device."""
    metrics.count_ready(id(processes), [process.device for process in processes if process.model is not None])


def announce(model: ModelInfo, process: InferenceProcess, metrics: ConsumerMetrics) -> None:
    """Say that a process is ready to predict; it has had nothing to do yet but to start and to load."""
    device = "GPU" if model.device.startswith("cuda") else "CPU"
    log.info(
        "%s Inference Started (%s %s, process %s, %s)", device, model.name, model.version, process.pid, model.device
    )
    metrics.model_load.set(monotonic() - process.active_at)
    metrics.predicts_with(model.name)
    metrics.build.labels(__version__, model.name, model.version).set(1)


def warn_of_labels(labels: Sequence[str], settings: InferenceSettings) -> None:
    """Say it when settings and model do not fit, which shows in nothing else but a lack of detections."""
    rule = TargetRule(settings.target_labels, settings.confidence_threshold)
    if labels and settings.target_labels and not rule.can_match(labels):
        log.warning(
            "TARGET_LABELS=%s matches no label of the model (%s): there will be no detections; "
            "change it, or take a model that knows such labels",
            ",".join(settings.target_labels),
            listed(labels),
        )
