"""A peer: Ray Data reads the topic to its present end, once, and predicts in one actor a core."""

import os
from pathlib import Path
from typing import Any

import ray

from benchmarks.peers.classifier import Classifier
from benchmarks.peers.job import Place, Record, Store


class Detect:
    """A stateful transformation: what Ray builds once an actor."""

    def __init__(self, place: Place, folder: Path) -> None:
        self._classifier, self._store = Classifier(folder), Store(place)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Predict and store; pass on only which records were done."""
        rows = zip(batch["partition"], batch["offset"], batch["value"], strict=True)
        records = [Record(int(partition), int(offset), bytes(value)) for partition, offset, value in rows]
        self._store.write(records, self._classifier.predict([record.jpeg for record in records]))
        return {"partition": batch["partition"], "offset": batch["offset"]}


def main() -> None:
    """Work through the topic, then end."""
    place = Place.given()
    cores = len(os.sched_getaffinity(0))
    # Reading and storing wait more than they compute: without room for it the reading would wait for a free core.
    ray.init(num_cpus=cores + 1, include_dashboard=False, _temp_dir=str(Path.cwd() / "ray"))
    records = ray.data.read_kafka(place.topic, bootstrap_servers=place.servers)
    done = records.repartition(target_num_rows_per_block=4 * place.batch).map_batches(
        Detect,
        fn_constructor_args=(place, Path.cwd()),
        batch_size=place.batch,
        compute=ray.data.ActorPoolStrategy(size=cores),
        num_cpus=1,
    )
    for _ in done.iter_batches(batch_size=None):
        pass


if __name__ == "__main__":
    main()
