"""Whether the keys of objects can be read from their table."""

from collections.abc import Iterator
from contextlib import closing

from velox.errors import VeloxError
from velox.keys import key_table
from velox.settings import SourceSettings
from velox.tools.doctor.findings import Finding, ok, refusal

_ANSWER_S = 5.0


def find(settings: SourceSettings) -> Iterator[Finding]:
    """Look into the table, where the producer reads it; it stays as it is."""
    if settings.source != "keys":
        return
    what = "table image_info"
    hasty = settings.model_copy(update={"keys_timeout_s": min(settings.keys_timeout_s, _ANSWER_S)})
    try:
        with closing(key_table(hasty)) as table:
            yield ok(what, table.probe())
    except VeloxError as problem:
        yield refusal(what, problem)
