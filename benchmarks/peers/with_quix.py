"""A peer: Quix Streams with a batching sink that predicts and stores when a checkpoint is committed."""

from quixstreams import Application
from quixstreams.sinks import BatchingSink, SinkBatch

from benchmarks.peers.classifier import Classifier
from benchmarks.peers.job import Place, Record, Store

_RECORDS_PER_CHECKPOINT = 256


class Detections(BatchingSink):
    """Quix hands over what gathered for one partition; its offset is committed when all sinks have returned."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self._batch = place.batch
        self._classifier, self._store = Classifier(), Store(place)

    def write(self, batch: SinkBatch) -> None:
        """Predict and store one partition's records."""
        for items in batch.iter_chunks(n=self._batch):
            records = [Record(batch.partition, item.offset, item.value) for item in items]
            self._store.write(records, self._classifier.predict([record.jpeg for record in records]))


def main() -> None:
    """Consume until killed."""
    place = Place.given()
    app = Application(
        broker_address=place.servers,
        consumer_group=place.group,
        auto_offset_reset="earliest",
        commit_every=_RECORDS_PER_CHECKPOINT,
    )
    app.dataframe(app.topic(place.topic, value_deserializer="bytes")).sink(Detections(place))
    app.run()


if __name__ == "__main__":
    main()
