"""The outside of the system, from the documented layout only: what others write we read, what we write others read."""

import json
import struct
import time

import cv2
import numpy as np

from tests.e2e.conftest import PipelineFactory
from tests.e2e.pipeline import Pipeline, wait_until


def test_a_producer_that_knows_only_the_wire_format_is_consumed(shapes: Pipeline) -> None:
    image = np.full((512, 512, 3), 128, np.uint8)
    cv2.circle(image, (256, 256), 150, (0, 0, 255), -1)
    _, jpeg = cv2.imencode(".jpg", image)
    sent_at = time.time()
    header = json.dumps({"timestamp": sent_at, "shape_label": "circle", "color_label": "red", "dtype": "jpeg"}).encode()
    shapes.publish(struct.pack(">I", len(header)) + header + jpeg.tobytes())

    consumer = shapes.consume(STORE="detections", CONFIDENCE_THRESHOLD="0.5")
    shapes.wait_for_documents(1)
    assert consumer.stop() == 0
    (document,) = shapes.documents()
    partition = shapes.records()[0].partition()
    expected_id = f"{shapes.topic}-{partition}-0"
    assert document["_id"] == expected_id
    assert document["predicted_label"] == "red_circle"
    assert document["ground_truth"] == "red_circle"
    assert document["timestamp"] == sent_at
    assert isinstance(document["confidence"], float)
    assert document["file_path"].endswith(f"hit_{expected_id}.jpg")
    assert shapes.images() == {f"hit_{expected_id}.jpg": jpeg.tobytes()}


def test_a_consumer_that_knows_only_the_wire_format_reads_what_the_producer_sends(pipeline: PipelineFactory) -> None:
    sender = pipeline(CODEC="framed")
    sender.produced(20)
    messages = sender.records()
    assert len(messages) == 20
    for message in messages:
        value = message.value() or b""
        (length,) = struct.unpack(">I", value[:4])
        metadata = json.loads(value[4 : 4 + length].decode("utf-8"))
        assert abs(metadata["timestamp"] - time.time()) < 300
        assert metadata["dtype"] == "jpeg"
        image = cv2.imdecode(np.frombuffer(value[4 + length :], np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        assert image.shape == (512, 512, 3)
        np.testing.assert_allclose(image[5, 5], 128, atol=3)
        expected = {"red": (0, 0, 255), "green": (0, 255, 0)}[metadata["color_label"]]
        np.testing.assert_allclose(image[256, 256], expected, atol=6)
        corner_is_filled = abs(int(image[256 - 140, 256 - 140].max()) - 255) < 6
        assert corner_is_filled == (metadata["shape_label"] == "square")


def test_a_users_own_model_is_one_class(pipeline: PipelineFactory) -> None:
    own = pipeline(
        CODEC="framed", MODEL="examples.mean_color:MeanColorModel", TARGET_LABELS="*", CONFIDENCE_THRESHOLD=0
    )
    own.produced(20)
    consumer = own.consume()
    own.wait_for_documents(20)
    wait_until(lambda: len(own.images()) == 20, what="20 images")
    assert consumer.stop() == 0
    for document in own.documents():
        assert document["ground_truth"].startswith(document["predicted_label"])


def test_a_users_own_sink_is_one_class(pipeline: PipelineFactory) -> None:
    own = pipeline(SINKS="tests.e2e.own_sink:LinesSink")
    own.publish(b"one", b"two")
    consumer = own.consume()
    wait_until(lambda: own.uncommitted() == 0, what="all committed")
    assert consumer.stop() == 0
    assert sorted((own.folder / "lines.txt").read_text().split()) == ["one", "two"]
