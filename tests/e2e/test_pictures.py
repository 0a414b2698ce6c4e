"""Pictures from real cameras, through a whole consumer: what is whole is stored, what is cut is refused by name."""

import json
import subprocess
import sys
from dataclasses import dataclass

from confluent_kafka import Producer
from PIL import Image

from tests.e2e.pipeline import ConsumerProgram, Pipeline, wait_until
from tests.pictures import (
    END,
    WHOLE_AND_SILENT,
    WHOLE_BUT_ODD,
    animated_with_a_filter_that_there_is_not,
    chunk,
    chunks,
    drawn,
    encoded,
    in_pieces,
    png_of,
    turned_by_exif,
    with_adobe,
    without_scan_parameters,
    without_tables,
)
from velox.sources import jpeg
from velox.sources.drawing import draw

SHAPE = draw("circle", color=(0, 0, 255), height=512, width=512, center=(256, 256), size=150)
PLAIN = jpeg.encode(SHAPE)
RGB = Image.fromarray(SHAPE[:, :, ::-1])
PIECES = in_pieces(encoded(drawn(), "PNG"))
HEADER, *REST = chunks(encoded(RGB, "PNG"))


@dataclass(frozen=True, slots=True)
class Picture:
    """A payload, and what has to become of it."""

    payload: bytes
    is_odd: bool = False
    reason: str = ""
    """Of its dead letter; none when it is stored, with the same label as the plain one."""
    has_same_pixels: bool = True


PICTURES = {
    "plain": Picture(PLAIN),
    **{what: Picture(change(PLAIN)) for what, change in WHOLE_AND_SILENT.items()},
    **{what: Picture(change(PLAIN), is_odd=True) for what, change in WHOLE_BUT_ODD.items()},
    "no scan parameters": Picture(without_scan_parameters(PLAIN), is_odd=True),
    "no tables": Picture(without_tables(PLAIN)),
    "unknown colours": Picture(with_adobe(PLAIN, 7), is_odd=True),
    "half": Picture(PLAIN[: len(PLAIN) // 2], reason="undecodable"),
    "half with an end": Picture(PLAIN[: len(PLAIN) // 2] + END, reason="undecodable"),
    "lying on its side": Picture(encoded(RGB, "JPEG", exif=turned_by_exif(6)), has_same_pixels=False),
    "CMYK": Picture(encoded(RGB.convert("CMYK"), "JPEG"), has_same_pixels=False),
    **{form: Picture(encoded(RGB, form), has_same_pixels=False) for form in ("PNG", "WEBP", "BMP", "GIF")},
    "PNG without its end": Picture(encoded(RGB, "PNG")[:-12], is_odd=True, has_same_pixels=False),
    "PNG with a damaged text": Picture(
        png_of(HEADER, chunk(b"tEXt", b"Comment\0drawn", is_wrong=True), *REST),
        is_odd=True,
        has_same_pixels=False,
    ),
    "PNG cut at 95 percent": Picture(encoded(drawn(), "PNG")[:-1000], reason="undecodable"),
    "PNG without its last pixels": Picture(png_of(*PIECES[:-2], PIECES[-1]), reason="undecodable"),
    "PNG that moves, damaged": Picture(animated_with_a_filter_that_there_is_not(), reason="undecodable"),
    "WebP cut": Picture(encoded(drawn(), "WEBP")[:-9], reason="undecodable"),
    "GIF cut": Picture(encoded(drawn(), "GIF")[:-500], reason="undecodable"),
    "line end before its start": Picture(b"\r\n" + PLAIN, reason="not_an_image"),
    "TIFF": Picture(encoded(drawn(), "TIFF"), reason="not_an_image"),
    "AVIF": Picture(encoded(drawn(), "AVIF"), reason="not_an_image"),
}
IDS = {what: what.replace(" ", "-").replace(",", "") for what in PICTURES}
STORED = {what for what, picture in PICTURES.items() if not picture.reason}


def publish(pipeline: Pipeline) -> None:
    for what, picture in PICTURES.items():
        pipeline.publish(picture.payload, headers=[("velox-id", IDS[what])])


def assert_every_line_is_json(consumer: ConsumerProgram) -> None:
    lines = [line for line in consumer.output.splitlines() if line]
    assert [line for line in lines if not line.startswith("{")] == []
    assert {json.loads(line)["pipeline"] for line in lines} == {"pictures"}, "its inference process's lines too"


def saved_suffixes(pipeline: Pipeline) -> set[str]:
    """The ends of the names under which `velox dlq` saves the payloads."""
    folder = pipeline.folder / "bad"
    command = [sys.executable, "-m", "velox", "dlq", "show", "--limit", "100", "--save", str(folder)]
    environment = pipeline.environment(CODEC="raw")
    subprocess.run(command, cwd=pipeline.folder, env=environment, check=True, capture_output=True)
    return {path.suffix for path in folder.iterdir()}


def test_what_is_whole_is_stored_as_it_came_and_what_is_not_is_refused_by_its_name(shapes: Pipeline) -> None:
    consumer = shapes.consume(
        CODEC="raw", LOG_FORMAT="json", PIPELINE="pictures", DEAD_LETTER_RATIO=0, INFERENCE_PROCESSES=1
    )
    consumer.wait_until_ready()
    publish(shapes)
    wait_until(lambda: shapes.uncommitted() == 0, what="all pictures done")

    documents = {document["_id"]: document for document in shapes.documents()}
    assert set(documents) == {IDS[what] for what in STORED}
    plain = documents["plain"]
    assert plain["predicted_label"] == "red_circle"
    for what in STORED:
        document = documents[IDS[what]]
        assert document["predicted_label"] == "red_circle", what
        if PICTURES[what].has_same_pixels:
            assert abs(document["confidence"] - plain["confidence"]) < 1e-6, what
    assert shapes.images() == {f"hit_{IDS[what]}.jpg": PICTURES[what].payload for what in STORED}, "the original bytes"

    reasons = {why["velox-dlq-id"]: why["velox-dlq-reason"] for _, why in shapes.dead_letters()}
    assert reasons == {IDS[what]: picture.reason for what, picture in PICTURES.items() if picture.reason}
    errors = {why["velox-dlq-id"]: why["velox-dlq-error"] for _, why in shapes.dead_letters()}
    assert "a TIFF file or a camera's raw one: convert it to JPEG, PNG or WebP" in errors["TIFF"]

    assert consumer.metric("velox_decode_warnings_total") == sum(picture.is_odd for picture in PICTURES.values())
    assert consumer.output.count("Decoded with a warning") == 1, "one line a minute"
    assert consumer.stop() == 0
    assert_every_line_is_json(consumer)
    assert "libpng" not in consumer.output
    assert saved_suffixes(shapes) == {".jpg", ".png", ".webp", ".gif", ".bin"}


def test_one_cameras_odd_pictures_do_not_stop_anothers(shapes: Pipeline) -> None:
    consumer = shapes.consume(CODEC="raw", INFERENCE_PROCESSES=2)
    consumer.wait_until_ready()
    producer = Producer({"bootstrap.servers": shapes.bootstrap})
    for payload, partition, count in ((without_scan_parameters(PLAIN), 0, 220), (PLAIN, 1, 400)):
        for _ in range(count):
            producer.produce(shapes.topic, payload, partition=partition)
    assert producer.flush(30) == 0
    shapes.wait_for_documents(620)
    wait_until(lambda: shapes.uncommitted() == 0, what="all committed")
    documents = shapes.documents()
    assert {document["predicted_label"] for document in documents} == {"red_circle"}
    assert max(d["confidence"] for d in documents) - min(d["confidence"] for d in documents) < 1e-6
    assert consumer.metric("velox_circuit_open") == 0
    assert consumer.not_ready_because() == ""
    assert consumer.metric("velox_decode_warnings_total") == 220
    assert shapes.dead_letters() == []
    assert consumer.stop() == 0
