"""Spans of what becomes of requests: on when OTEL_EXPORTER_OTLP_ENDPOINT names a collector, else nothing is loaded."""

from velox.core.tracing import Spans
from velox.errors import SettingsError
from velox.settings.tracing import TracingSettings


def connect(settings: TracingSettings, kind: str) -> Spans | None:
    """Answer what makes spans of a process of this kind, as in ``gateway``; None where none are wanted.

    Raises:
        SettingsError: its packages are not installed.
    """
    if not settings.otel_exporter_otlp_endpoint:
        return None
    try:
        from velox.otlp import OtlpSpans  # noqa: PLC0415 - most do without
    except ImportError as error:
        msg = f"OTEL_EXPORTER_OTLP_ENDPOINT needs packages that are not installed ({error}): pip install 'velox[otlp]'"
        raise SettingsError(msg) from error
    return OtlpSpans(settings.otel_exporter_otlp_endpoint, settings.otel_service_name or f"velox-{kind}")
