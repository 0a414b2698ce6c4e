"""Whether results can be stored."""

from collections.abc import Iterator

from velox.errors import VeloxError
from velox.loading import load_class
from velox.settings import Settings
from velox.sinks import paths
from velox.sinks.sink import Probed, Sink
from velox.tools.doctor.findings import Finding, ok, refusal, skipped, warning

_ANSWER_S = 5.0


def find(settings: Settings) -> Iterator[Finding]:
    """Have each sink prove that it could write; what it cannot undo it does not do."""
    hasty = settings.model_copy(update={"sink_timeout_s": min(settings.sink_timeout_s, _ANSWER_S)})
    for path in paths(settings.sinks):
        what = f"sink {path}"
        try:
            sink: Sink = load_class(path)(hasty)
            what = f"sink {sink.name}"
            if not isinstance(sink, Probed):
                yield skipped(what, "it has no probe(): only the consumer will find out")
                continue
            probe = sink.probe()
        except VeloxError as problem:
            yield refusal(what, problem)
        else:
            yield ok(what, probe.value)
            if probe.problem:
                yield warning(what, probe.problem, probe.fix)
