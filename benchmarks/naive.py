"""The naive design, the baseline of every comparison: what one writes first, honest and working.

One process polls with automatic commits, decodes and puts pixels on a queue; the other transforms image by image,
predicts in batches, and stores hit by hit. It loses records when it dies; that is part of being naive.
"""

import json
import multiprocessing
import queue
import signal
import sys
import time
import uuid
from types import FrameType
from typing import Any, NamedTuple, NoReturn

import cv2
import numpy as np
import numpy.typing as npt
from confluent_kafka import Consumer
from pymongo import MongoClient

from velox import settings as velox_settings
from velox.core.envelope import unframe
from velox.core.targets import TargetRule
from velox.records import Prediction
from velox.settings import Settings

_WAIT_S = 0.1


class Image(NamedTuple):
    """What crosses the queue."""

    pixels: npt.NDArray[np.uint8]
    """Height × width × 3, BGR: 786,432 bytes for a 512 × 512 image."""
    metadata: dict[str, Any]
    partition: int
    offset: int


def main() -> None:
    """Consume until SIGTERM."""
    settings = velox_settings.load()
    signal.signal(signal.SIGTERM, _leave)
    context = multiprocessing.get_context("spawn")
    images: multiprocessing.Queue[Image] = context.Queue(settings.queue_size)
    inference = context.Process(target=infer, args=(settings, images), daemon=True)
    inference.start()
    try:
        fetch(settings, images)
    finally:
        inference.kill()
        images.cancel_join_thread()  # nobody reads what is still on its way


def fetch(settings: Settings, images: "multiprocessing.Queue[Image]") -> NoReturn:
    """Poll, decode, put pixels on the queue, for ever."""
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka_bootstrap_server,
            "group.id": settings.kafka_consumer_group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": True,
        }
    )
    consumer.subscribe([settings.kafka_topic])
    while True:
        message = consumer.poll(_WAIT_S)
        if message is None or message.error() is not None:
            continue
        metadata, jpeg = unframe(message.value() or b"")
        pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        if pixels is None:
            continue
        images.put(
            Image(pixels.astype(np.uint8, copy=False), dict(metadata), message.partition() or 0, message.offset() or 0)
        )


def infer(settings: Settings, images: "multiprocessing.Queue[Image]") -> NoReturn:
    """Transform, predict in batches, store each hit, for ever."""
    # As in Velox, only the process that predicts loads torch.
    import torch  # noqa: PLC0415
    from torchvision import transforms  # noqa: PLC0415

    from velox.models import card  # noqa: PLC0415
    from velox.models.architectures import ARCHITECTURES, IMAGENET_MEAN, IMAGENET_STD  # noqa: PLC0415

    labels = list(json.loads(settings.classes_path.read_text()).values())
    described = card.read(settings.model_path, settings.classes_path).card
    architecture = ARCHITECTURES[described.architecture if described else settings.model_arch]
    network = architecture.build(len(labels))
    network.load_state_dict(torch.load(settings.model_path, weights_only=True))
    network.eval()
    transform = transforms.Compose(
        [
            transforms.ToPILImage(),
            transforms.Resize((architecture.input_size, architecture.input_size)),
            transforms.ToTensor(),
            transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    rule = TargetRule(settings.target_labels, settings.confidence_threshold)
    client: MongoClient[dict[str, Any]] = MongoClient(settings.mongo_uri.get_secret_value())
    found = client[settings.db_name][settings.mongo_collection]
    settings.storage_path.mkdir(parents=True, exist_ok=True)
    while True:
        batch = _next_batch(images, settings.batch_size)
        tensors = [transform(cv2.cvtColor(image.pixels, cv2.COLOR_BGR2RGB)) for image in batch]
        with torch.no_grad():
            probabilities = network(torch.stack(tensors)).softmax(1)
        confidences, indices = probabilities.max(1)
        for image, confidence, index in zip(batch, confidences.tolist(), indices.tolist(), strict=True):
            prediction = Prediction(labels[index], confidence)
            if not rule.is_detection(prediction):
                continue
            hit = str(uuid.uuid4())
            path = settings.storage_path / f"hit_{hit}.jpg"
            cv2.imwrite(str(path), image.pixels)
            found.insert_one(
                {
                    "_id": hit,
                    "timestamp": time.time(),
                    "confidence": confidence,
                    "predicted_label": prediction.label,
                    "ground_truth": f"{image.metadata['color_label']}_{image.metadata['shape_label']}",
                    "file_path": str(path),
                    "partition": image.partition,
                    "offset": image.offset,
                }
            )


def _next_batch(images: "multiprocessing.Queue[Image]", size: int) -> list[Image]:
    batch = [images.get()]
    while len(batch) < size:
        try:
            batch.append(images.get(timeout=_WAIT_S))
        except queue.Empty:
            break
    return batch


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(0)


if __name__ == "__main__":
    main()
