"""Whether the keys of objects can be read from their table."""

from collections.abc import Iterator
from contextlib import closing

from velox.errors import VeloxError
from velox.keys import key_table
from velox.keys.table import Holder
from velox.settings import SourceSettings
from velox.tools.doctor.findings import Finding, ok, refusal, warning

_ANSWER_S = 5.0
_LONG_S = 10.0
"""A transaction that is open for longer holds keys up noticeably."""


def find(settings: SourceSettings) -> Iterator[Finding]:
    """Look into the table, where the producer reads it; it stays as it is."""
    if settings.source != "keys":
        return
    what = "table image_info"
    hasty = settings.model_copy(update={"keys_timeout_s": min(settings.keys_timeout_s, _ANSWER_S)})
    try:
        with closing(key_table(hasty)) as table:
            yield ok(what, table.probe())
            if (holder := table.held_up_by()) and (holder.age_s is None or holder.age_s > _LONG_S):
                yield _held_up(holder)
    except VeloxError as problem:
        yield refusal(what, problem)


def _held_up(holder: Holder) -> Finding:
    since = "" if holder.age_s is None else f"open for {holder.age_s:.0f} s: "
    value = f"{since}{holder.who}; keys of rows that were added since it began wait for its end"
    end = f", or {holder.end}" if holder.end else ""
    fix = f"commit it or roll it back there{end}; idle_in_transaction_session_timeout ends idle ones by itself"
    return warning("oldest transaction", value, fix)
