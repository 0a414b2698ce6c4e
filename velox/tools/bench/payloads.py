"""What a model is measured with: the newest records of the topic, else those of the source."""

from dataclasses import dataclass
from itertools import islice

from velox.errors import BrokerUnavailableError
from velox.kafka.lag import Extent, Observer
from velox.kafka.parsing import parse
from velox.kafka.topics import topics_now
from velox.settings import ProductionSettings
from velox.sources import open_source


@dataclass(frozen=True, slots=True)
class Payloads:
    """Some payloads, and where they come from."""

    payloads: list[bytes]
    origin: str


def gather(settings: ProductionSettings, count: int) -> Payloads:
    """Read ``count`` of the newest records without joining the group; take them from SOURCE when there are none.

    As many from each partition: fewer in all where some hold less than their share.

    Raises:
        SourceError: that gives nothing either.
    """
    try:
        found = _newest(settings, count)
        why = "holds no records that can be read"
    except BrokerUnavailableError as error:
        found, why = [], f"cannot be read ({error})"
    if found:
        return Payloads(found, f"the newest {len(found)} records of {settings.kafka_topic}")
    items = islice(open_source(settings, settings.source), count)
    made = [item.payload for item in items]
    return Payloads(made, f"{len(made)} of SOURCE={settings.source}, since {settings.kafka_topic} {why}")


def _newest(settings: ProductionSettings, count: int) -> list[bytes]:
    observer = Observer(settings)
    try:
        extents = observer.extents(*topics_now(settings))
        each = -(-count // max(1, len(extents)))
        last = {p: Extent(max(extent.low, extent.high - each), extent.high) for p, extent in extents.items()}
        parsed = (
            parse(message, codec=settings.codec, json=settings.json_form, max_bytes=settings.max_message_bytes)
            for message in observer.read(last)
        )
        return [record.payload for record, error in parsed if error is None and record.payload][:count]
    finally:
        observer.close()
