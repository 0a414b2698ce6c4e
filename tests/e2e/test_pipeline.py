"""The whole pipeline on real servers: what goes in comes out, exactly once, whatever happens in between."""

import json
import os
import signal
import struct
from collections import Counter

import psutil
import pytest

from tests.e2e.conftest import PipelineFactory
from tests.e2e.pipeline import PATIENCE_S, QUICK_SESSION, ConsumerProgram, Pipeline, headers, wait_until

RECORDS = 300


def test_every_image_produced_becomes_one_document_and_each_detection_one_file(shapes: Pipeline) -> None:
    shapes.produced(RECORDS)
    consumer = shapes.consume(TARGET_LABELS="red_*", CONFIDENCE_THRESHOLD="0.5")
    shapes.wait_for_documents(RECORDS)
    assert consumer.stop() == 0
    assert "Drained in" in consumer.output
    assert f"{RECORDS} predicted" in consumer.output

    documents = shapes.documents()
    assert len(documents) == RECORDS
    sent = {headers(message)["velox-id"]: message for message in shapes.records()}
    assert {document["_id"] for document in documents} == set(sent)
    assert sum(d["predicted_label"] == d["ground_truth"] for d in documents) > 0.95 * RECORDS

    detections = {d["_id"]: d for d in documents if d["is_detection"]}
    assert detections
    images = shapes.images()
    assert set(images) == {f"hit_{identity}.jpg" for identity in detections}
    for identity, document in detections.items():
        value = sent[identity].value() or b""
        (length,) = struct.unpack(">I", value[:4])
        assert images[f"hit_{identity}.jpg"] == value[4 + length :]
        assert (shapes.folder / document["file_path"]).is_file()
        assert consumer.says(f"TARGET MATCH: {document['predicted_label']} (Conf: ")
        assert consumer.says(f"Saved to database: {document['predicted_label']}")
    assert consumer.says("CPU Inference Started")
    assert shapes.uncommitted() == 0


def test_detections_alone_are_stored_unless_all_is_asked_for(shapes: Pipeline) -> None:
    shapes.produced(60)
    consumer = shapes.consume(STORE="detections", TARGET_LABELS="red_circle", CONFIDENCE_THRESHOLD="0.5")
    consumer.wait_until_ready()
    wait_until(lambda: consumer.metric("velox_records_total", outcome="predicted") == 60, what="60 predicted")
    found = consumer.metric("target_shapes_found_total")
    assert consumer.stop() == 0
    documents = shapes.documents()
    assert 0 < len(documents) == found < 60
    assert {document["predicted_label"] for document in documents} == {"red_circle"}


def test_a_consumer_restarted_in_the_middle_goes_on_where_it_was(pipeline: PipelineFactory) -> None:
    one = pipeline()
    one.publish(*(f"slow {i}".encode() for i in range(200)))
    first = one.consume(QUEUE_SIZE=16)
    one.wait_for_documents(40)
    assert first.stop() == 0
    stored = one.count()
    assert 40 <= stored < 200
    assert one.uncommitted() == 200 - stored

    second = one.consume()
    one.wait_for_documents(200)
    assert second.stop() == 0
    assert f"{200 - stored} predicted" in second.output
    assert Counter(d["predicted_label"] for d in one.documents()) == Counter(f"slow {i}" for i in range(200))
    assert one.uncommitted() == 0


def test_two_consumers_share_the_partitions_and_the_one_left_takes_them_all(pipeline: PipelineFactory) -> None:
    both = pipeline()
    first, second = both.consume(), both.consume()
    first.wait_until_ready()
    second.wait_until_ready()

    def partitions(consumer: ConsumerProgram) -> float:
        return consumer.metric("velox_assigned_partitions")

    wait_until(lambda: partitions(first) == partitions(second) == 3, what="three partitions each")
    both.publish(*(f"slow {i}".encode() for i in range(100)))
    both.wait_for_documents(100)
    assert first.metric("velox_records_total") > 0
    assert second.metric("velox_records_total") > 0
    assert first.stop() == 0
    wait_until(lambda: partitions(second) == 6, what="all six partitions")
    both.publish(*(f"more {i}".encode() for i in range(100)))
    both.wait_for_documents(200)
    assert second.stop() == 0
    assert both.count() == 200
    assert both.uncommitted() == 0


def test_sigterm_under_load_finishes_what_is_in_flight_and_no_more(pipeline: PipelineFactory) -> None:
    loaded = pipeline()
    loaded.publish(*(f"slow {i}".encode() for i in range(1000)))
    consumer = loaded.consume(QUEUE_SIZE=32)
    loaded.wait_for_documents(20)
    assert consumer.stop(signal.SIGTERM) == 0
    assert " 0 in flight left" in consumer.output
    stored = loaded.count()
    assert stored < 1000
    assert loaded.uncommitted() == 1000 - stored


def test_a_second_sigterm_stops_at_once_and_commits_nothing_undone(pipeline: PipelineFactory) -> None:
    loaded = pipeline()
    loaded.publish(b"hang")
    consumer = loaded.consume(DRAIN_S=300)
    consumer.wait_until_ready()
    wait_until(lambda: consumer.metric("velox_in_flight_records") == 1, what="the record is in flight")
    consumer.process.send_signal(signal.SIGTERM)
    consumer.wait_until_it_says("Paused: draining")
    assert consumer.stop(signal.SIGTERM) == 1
    assert " 1 in flight left" in consumer.output
    assert loaded.uncommitted() == 1


def test_a_consumer_killed_outright_loses_nothing_and_leaves_no_process(pipeline: PipelineFactory) -> None:
    killed = pipeline(**QUICK_SESSION)
    killed.publish(*(f"slow {i}".encode() for i in range(200)))
    consumer = killed.consume()
    killed.wait_for_documents(20)
    orphans = consumer.inference_processes()
    assert orphans
    consumer.stop(signal.SIGKILL)
    psutil.wait_procs(orphans, timeout=PATIENCE_S)
    assert not any(orphan.is_running() for orphan in orphans)
    killed.consume()
    killed.wait_for_documents(200)
    assert Counter(d["predicted_label"] for d in killed.documents()) == Counter(f"slow {i}" for i in range(200))


def test_a_killed_inference_process_is_replaced_and_its_records_are_predicted(pipeline: PipelineFactory) -> None:
    hurt = pipeline(INFERENCE_PROCESSES=2)
    consumer = hurt.consume()
    consumer.wait_until_ready()
    hurt.publish(*(f"slow {i}".encode() for i in range(200)))
    hurt.wait_for_documents(20)
    consumer.inference_processes()[0].kill()
    hurt.wait_for_documents(200)
    assert consumer.metric("velox_inference_restarts_total") == 1
    wait_until(lambda: consumer.metric("velox_inference_processes") == 2, what="two processes again")
    assert consumer.stop() == 0
    assert hurt.uncommitted() == 0
    assert not hurt.dead_letters()


def test_a_record_that_kills_its_process_is_found_and_costs_only_itself(pipeline: PipelineFactory) -> None:
    deadly = pipeline(partitions=1)
    values = [f"good {i}".encode() for i in range(20)]
    deadly.publish(*values[:7], b"die", *values[7:])
    consumer = deadly.consume()
    deadly.wait_for_documents(20)
    wait_until(lambda: deadly.uncommitted() == 0, what="everything committed")
    assert deadly.reasons() == {"killed_inference": 1}
    (letter, why) = deadly.dead_letters()[0]
    assert letter.value() == b"die"
    assert why["velox-dlq-offset"] == "7"
    assert consumer.stop() == 0
    assert deadly.count() == 20


def test_an_inference_process_that_hangs_is_killed_and_the_cause_dead_lettered(pipeline: PipelineFactory) -> None:
    stuck = pipeline(partitions=1)
    stuck.publish(b"good 1", b"hang", b"good 2")
    consumer = stuck.consume(INFERENCE_TIMEOUT_S=1)
    stuck.wait_for_documents(2)
    wait_until(lambda: stuck.uncommitted() == 0, what="everything committed")
    assert stuck.reasons() == {"killed_inference": 1}
    assert consumer.stop() == 0


def test_batches_shrink_to_what_fits_into_memory_and_only_what_never_fits_is_bad(pipeline: PipelineFactory) -> None:
    hungry = pipeline(partitions=1, MODEL="tests.e2e.fragile:HungryModel")
    goods = [f"good {i}" for i in range(40)]
    hungry.publish(*(text.encode() for text in goods[:20]), b"huge", *(text.encode() for text in goods[20:]))
    consumer = hungry.consume()
    hungry.wait_for_documents(40)
    wait_until(lambda: hungry.uncommitted() == 0, what="everything committed")
    assert {document["predicted_label"] for document in hungry.documents()} == set(goods)
    assert hungry.reasons() == {"out_of_memory": 1}
    assert consumer.metric("velox_batch_limit_records") == 2
    assert consumer.metric("velox_inference_restarts_total") == 0
    assert consumer.stop() == 0


def test_bad_records_among_good_ones_go_to_the_dead_letter_topic_with_their_reason(shapes: Pipeline) -> None:
    shapes.produced(40)
    header = json.dumps({"timestamp": 1.0}).encode()
    framed = struct.pack(">I", len(header)) + header
    bad = {
        "bad_envelope": b"\x00\x00",
        "bad_metadata": struct.pack(">I", 5) + b"{nope",
        "empty": framed,
        "not_an_image": framed + b"<html></html>",
        "too_large": framed + b"\xff\xd8" + bytes(60_000),
    }
    shapes.publish(*bad.values(), headers=[("trace", b"abc")])
    consumer = shapes.consume(MAX_MESSAGE_BYTES=50_000)
    shapes.wait_for_documents(40)
    wait_until(lambda: shapes.uncommitted() == 0, what="everything committed")
    letters = shapes.dead_letters()
    assert {why["velox-dlq-reason"]: letter.value() for letter, why in letters} == bad
    for _, why in letters:
        assert why["trace"] == "abc"
        assert why["velox-dlq-topic"] == shapes.topic
        assert why["velox-dlq-error"]
        assert {"velox-dlq-partition", "velox-dlq-offset", "velox-dlq-id"} <= set(why)
    assert consumer.metric("velox_dead_letters_total") == 5
    assert consumer.metric("velox_dead_letters_total", reason="not_an_image") == 1
    assert consumer.stop() == 0
    assert "40 predicted" in consumer.output
    assert "5 dead-lettered" in consumer.output


def test_the_metrics_tell_what_happened(shapes: Pipeline) -> None:
    shapes.produced(50)
    consumer = shapes.consume()
    shapes.wait_for_documents(50)
    consumer.wait_until_ready()
    wait_until(lambda: consumer.metric("velox_records_total", outcome="predicted") == 50, what="50 counted")
    assert consumer.metric("velox_batch_size_sum") == 50
    for stage in ("queue", "decode", "inference", "sink"):
        assert consumer.metric("velox_stage_seconds_count", stage=stage) > 0
    assert consumer.metric("velox_end_to_end_seconds_count") == 50
    assert 0 < consumer.metric("batch_avg_confidence") <= 1
    assert consumer.metric("velox_inference_processes", device="cpu") == 1
    assert consumer.metric("velox_build_info", model="tiny_cnn") == 1
    assert 0 < consumer.metric("velox_model_load_seconds") < 120
    wait_until(lambda: consumer.metric("velox_in_flight_records") == 0, what="nothing in flight")
    wait_until(lambda: consumer.metric("velox_ready") == 1, what="the ready metric")
    assert consumer.probe("/livez") == (200, '{"live": true}')
    assert consumer.probe("/readyz") == (200, '{"ready": true}')
    assert consumer.probe("/nowhere")[0] == 404


@pytest.mark.parametrize("processes", [1, 2])
def test_ctrl_c_in_a_terminal_drains_like_sigterm(pipeline: PipelineFactory, processes: int) -> None:
    interrupted = pipeline(INFERENCE_PROCESSES=processes)
    interrupted.publish(*(f"slow {i}".encode() for i in range(300)))
    consumer = interrupted.consume(QUEUE_SIZE=32)
    interrupted.wait_for_documents(20)
    for pid in (consumer.process.pid, *(p.pid for p in consumer.inference_processes())):  # as a terminal does
        os.kill(pid, signal.SIGINT)
    assert consumer.process.wait(30) == 0
    assert interrupted.uncommitted() == 300 - interrupted.count()
