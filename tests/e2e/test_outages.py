"""A system that fails costs time, never a record: the consumer waits, says why, and goes on by itself."""

import random
import socket
import sqlite3
import uuid

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.e2e.conftest import PipelineFactory
from tests.e2e.pipeline import BOTH_DELIVERIES, PATIENCE_S, Pipeline, wait_until
from tests.servers.kafka import KafkaServer
from tests.servers.mongo import MongoServer
from tests.servers.proxy import TcpProxy

IMPATIENT = {"SINK_TIMEOUT_S": 2}


@BOTH_DELIVERIES
def test_a_sink_that_goes_down_pauses_consuming_and_loses_nothing(
    pipeline: PipelineFactory, mongo: MongoServer, delivery: str
) -> None:
    with TcpProxy(mongo.port) as proxy:
        one = pipeline(DELIVERY=delivery, MONGO_URI=f"mongodb://127.0.0.1:{proxy.port}/", **IMPATIENT)
        consumer = one.consume()
        consumer.wait_until_ready()
        one.publish(*(f"before {i}".encode() for i in range(50)))
        one.wait_for_documents(50)

        proxy.block()
        one.publish(*(f"during {i}".encode() for i in range(500)))
        wait_until(lambda: consumer.not_ready_because() == "blocked by mongo", what="not ready because of mongo")
        consumer.wait_until_it_says("Paused: blocked by mongo")
        assert consumer.probe("/livez")[0] == 200
        assert consumer.metric("velox_sink_retries_total", sink="mongo") > 0
        assert consumer.metric("velox_in_flight_records") <= 200
        one.publish(*(f"later {i}".encode() for i in range(500)))
        wait_until(lambda: consumer.metric("velox_consumer_lag_records") >= 500, what="lag seen while paused")

        proxy.unblock()
        one.wait_for_documents(1050)
        wait_until(lambda: consumer.probe("/readyz")[0] == 200, what="ready again")
        wait_until(lambda: one.uncommitted() == 0, what="all committed")
        assert not one.dead_letters()
        assert consumer.stop() == 0


@BOTH_DELIVERIES
def test_a_sink_that_is_down_at_start_is_waited_for(
    pipeline: PipelineFactory, mongo: MongoServer, delivery: str
) -> None:
    with TcpProxy(mongo.port) as proxy:
        proxy.block()
        one = pipeline(DELIVERY=delivery, MONGO_URI=f"mongodb://127.0.0.1:{proxy.port}/", **IMPATIENT)
        one.publish(b"one", b"two")
        consumer = one.consume()
        consumer.wait_until_it_says("mongo: ")
        consumer.wait_until_it_says("Inference Started")
        assert consumer.not_ready_because() == "blocked by mongo"
        proxy.unblock()
        one.wait_for_documents(2)
        assert consumer.stop() == 0


@BOTH_DELIVERIES
def test_stopping_during_a_sink_outage_ends_in_time_and_commits_only_what_is_stored(
    pipeline: PipelineFactory, mongo: MongoServer, delivery: str
) -> None:
    with TcpProxy(mongo.port) as proxy:
        one = pipeline(DELIVERY=delivery, MONGO_URI=f"mongodb://127.0.0.1:{proxy.port}/", DRAIN_S=3, **IMPATIENT)
        consumer = one.consume()
        consumer.wait_until_ready()
        one.publish(*(f"before {i}".encode() for i in range(20)))
        one.wait_for_documents(20)
        proxy.block()
        one.publish(*(f"during {i}".encode() for i in range(20)))
        consumer.wait_until_it_says("Paused: blocked by mongo")
        assert consumer.stop(timeout_s=20) == 1
        assert "in flight left to be read again" in consumer.output
        proxy.unblock()
        assert one.uncommitted() == 20
        one.consume()
        one.wait_for_documents(40)


@BOTH_DELIVERIES
def test_a_full_flight_keeps_the_group_and_goes_on(pipeline: PipelineFactory, delivery: str) -> None:
    slow = pipeline(DELIVERY=delivery, QUEUE_SIZE=8, BATCH_SIZE=4)
    slow.publish(*(f"slow {i}".encode() for i in range(100)))
    consumer = slow.consume()
    consumer.wait_until_ready()
    in_flight = []

    def all_are_stored() -> bool:
        in_flight.append(consumer.metric("velox_in_flight_records"))
        return slow.count() == 100

    wait_until(all_are_stored, what="100 documents")
    assert 0 < max(in_flight) <= 8
    assert not consumer.says("Revoked")
    assert not consumer.says("Lost")
    assert consumer.stop() == 0
    assert slow.uncommitted() == 0


@BOTH_DELIVERIES
def test_a_broker_that_is_down_at_start_is_waited_for_by_producer_and_consumer(
    pipeline: PipelineFactory, delivery: str
) -> None:
    broker = KafkaServer()
    try:
        one = pipeline(DELIVERY=delivery, CODEC="framed", MODEL="tests.e2e.fragile:LengthModel")
        one.settings.update(KAFKA_BOOTSTRAP_SERVER=broker.bootstrap, KAFKA_TOPIC=f"late-{uuid.uuid4().hex[:8]}")
        consumer = one.consume()
        producer = one.produce("--count", "30", "--rate", "0")
        consumer.wait_until_it_says("cannot be reached")
        producer.wait_until_it_says("does not answer")
        assert consumer.probe("/livez")[0] == 200
        assert consumer.not_ready_because()
        broker.start()
        assert producer.process.wait(PATIENCE_S) == 0
        one.wait_for_documents(30)
        assert consumer.stop() == 0
        assert "30 predicted" in consumer.output
    finally:
        broker.close()


@BOTH_DELIVERIES
def test_stopping_while_the_broker_is_down_at_start_is_quick_and_clean(
    pipeline: PipelineFactory, delivery: str
) -> None:
    one = pipeline(DELIVERY=delivery, KAFKA_BOOTSTRAP_SERVER="127.0.0.1:9")
    consumer = one.consume()
    consumer.wait_until_it_says("cannot be reached")
    assert consumer.stop(timeout_s=15) == 0


@BOTH_DELIVERIES
def test_a_broker_killed_in_the_middle_and_started_again_costs_no_record(
    pipeline: PipelineFactory, delivery: str
) -> None:
    with KafkaServer() as broker:
        one = pipeline(DELIVERY=delivery)
        topic = f"killed-{uuid.uuid4().hex[:8]}"
        broker.create_topic(topic, partitions=3)
        one.settings.update(KAFKA_BOOTSTRAP_SERVER=broker.bootstrap, KAFKA_TOPIC=topic)
        one.bootstrap, one.topic = broker.bootstrap, topic
        consumer = one.consume(QUEUE_SIZE=16)
        consumer.wait_until_ready()
        one.publish(*(f"slow {i}".encode() for i in range(100)))
        one.wait_for_documents(20)
        broker.kill()
        broker.start()
        one.wait_for_documents(100)
        wait_until(lambda: one.uncommitted() == 0, what="all committed")
        assert one.count() == 100
        assert consumer.stop() == 0


def test_a_model_that_cannot_be_loaded_is_one_clear_line(shapes: Pipeline) -> None:
    (shapes.folder / "model.pth").write_bytes(b"no model")
    consumer = shapes.consume()
    assert consumer.process.wait(PATIENCE_S) == 2
    last = consumer.output.strip().splitlines()[-1]
    assert last.startswith("velox consume: ")
    assert "model.pth" in last
    assert "Traceback" not in consumer.output


@BOTH_DELIVERIES
def test_inference_processes_that_keep_dying_end_the_consumer(pipeline: PipelineFactory, delivery: str) -> None:
    one = pipeline(DELIVERY=delivery, MODEL="tests.e2e.fragile:StillbornModel", INFERENCE_RESTARTS=2)
    consumer = one.consume()
    assert consumer.process.wait(PATIENCE_S) == 2
    assert "INFERENCE_RESTARTS=2" in consumer.output.strip().splitlines()[-1]


@BOTH_DELIVERIES
def test_a_model_that_fails_for_everything_ends_the_consumer_and_dead_letters_nothing(
    pipeline: PipelineFactory, delivery: str
) -> None:
    one = pipeline(DELIVERY=delivery, MODEL="tests.e2e.fragile:BrokenModel", INFERENCE_RESTARTS=2)
    one.publish(*(f"good {i}".encode() for i in range(40)))
    consumer = one.consume()
    assert consumer.process.wait(PATIENCE_S) == 2
    assert "INFERENCE_RESTARTS=2" in consumer.output.strip().splitlines()[-1]
    assert not one.dead_letters()
    assert one.uncommitted() == 40


def test_sqlite_takes_the_place_of_mongo(pipeline: PipelineFactory) -> None:
    one = pipeline(SINKS="sqlite")
    one.publish(*(f"text {i}".encode() for i in range(50)))
    consumer = one.consume()
    wait_until(lambda: one.uncommitted() == 0, what="all committed")
    assert consumer.stop() == 0
    with sqlite3.connect(one.folder / "velox.db") as database:
        rows = database.execute("SELECT predicted_label FROM predictions").fetchall()
    database.close()
    assert {label for (label,) in rows} == {f"text {i}" for i in range(50)}


@BOTH_DELIVERIES
def test_stopping_while_a_sink_was_never_up_is_quick_and_clean(pipeline: PipelineFactory, delivery: str) -> None:
    one = pipeline(DELIVERY=delivery, MONGO_URI="mongodb://127.0.0.1:9/", SINK_TIMEOUT_S=1, DRAIN_S=30)
    consumer = one.consume()
    consumer.wait_until_it_says("mongo: ")
    assert consumer.stop(timeout_s=15) == 0


def test_a_dead_letter_too_large_for_its_topic_leaves_its_value_and_costs_no_other(
    pipeline: PipelineFactory, kafka: KafkaServer
) -> None:
    one = pipeline(partitions=1)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    small = NewTopic(f"{one.topic}.dlq", num_partitions=1, config={"max.message.bytes": "10000"})
    admin.create_topics([small])[small.topic].result()
    huge = b"bad " + random.Random(7).randbytes(30_000).hex().encode()  # noqa: S311 - the same, incompressible
    one.publish(b"good 1", b"bad 1", huge, b"bad 2", b"good 2")
    consumer = one.consume()
    one.wait_for_documents(2)
    wait_until(lambda: one.uncommitted() == 0, what="all committed")
    letters = {why["velox-dlq-offset"]: (letter.value(), why) for letter, why in one.dead_letters()}
    assert (letters["1"][0], letters["3"][0]) == (b"bad 1", b"bad 2")
    assert letters["2"][0] is None
    assert letters["2"][1]["velox-dlq-value-omitted-bytes"] == str(len(huge))
    assert consumer.stop() == 0


def test_a_port_that_is_taken_is_one_clear_line(pipeline: PipelineFactory) -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        consumer = pipeline().consume(METRICS_PORT=port)
        assert consumer.process.wait(30) == 2
    assert consumer.output.splitlines()[-1].startswith(f"velox consume: METRICS_PORT={port}: Address already in use")
    assert "Inference" not in consumer.output
