"""`velox dlq` on a real broker: what is replayed becomes one result, once, whatever is done twice."""

import re
import subprocess
import sys
import uuid
from pathlib import Path
from typing import cast

from confluent_kafka import Message

from tests.e2e.conftest import PipelineFactory
from tests.e2e.pipeline import Pipeline, wait_until
from tests.servers.kafka import KafkaServer

FORGIVING = "tests.e2e.fragile:LengthModel"
"""The model that takes what the other one refuses: the cause, mended."""


def dlq(pipeline: Pipeline, *args: str, expect: int = 0, **settings: object) -> str:
    """Run `velox dlq`; answer all it said."""
    ended = subprocess.run(
        [sys.executable, "-m", "velox", "dlq", *args],
        cwd=pipeline.folder,
        env=pipeline.environment(**settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == expect, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def consume_all(pipeline: Pipeline, **settings: object) -> None:
    consumer = pipeline.consume(**settings)
    consumer.wait_until_ready()
    wait_until(lambda: pipeline.uncommitted() == 0, what="everything committed")
    assert consumer.stop() == 0


def answers(pipeline: Pipeline) -> dict[str, str]:
    return {document["_id"]: document["predicted_label"] for document in pipeline.documents()}


def carried(message: Message) -> list[tuple[str, bytes | None]]:
    return cast("list[tuple[str, bytes | None]]", message.headers() or [])


def letters(pipeline: Pipeline) -> list[tuple[Message, dict[str, str]]]:
    """The dead letters and their headers, without what `velox dlq` adds."""
    every = []
    for message in pipeline.records(f"{pipeline.topic}.dlq"):
        every.append((message, {name: (value or b"").decode(errors="replace") for name, value in carried(message)}))
    return [(message, why) for message, why in every if "velox-dlq-reason" in why]


def open_letters(pipeline: Pipeline) -> int:
    found = re.search(r"(\d+) dead letters, \d+ handled", dlq(pipeline, "list"))
    assert found
    return int(found[1])


def test_a_replayed_record_becomes_one_result_under_its_first_id_and_twice_changes_nothing(
    pipeline: PipelineFactory,
) -> None:
    mended = pipeline(partitions=2)
    mended.publish(b"good")
    mended.publish(b"bad with an id", headers=[("velox-id", b"mine"), ("trace", b"\xff")])
    mended.publish(b"bad without")
    consume_all(mended)
    (without,) = (why["velox-dlq-id"] for _, why in letters(mended) if why["velox-dlq-id"] != "mine")
    assert open_letters(mended) == 2

    said = dlq(mended, "replay", "--dry-run")
    assert "Would replay 2 records" in said
    assert len(mended.records()) == 3, "a dry run publishes nothing"

    assert "Replayed 2 of 2 records" in dlq(mended, "replay")
    assert open_letters(mended) == 0
    assert "Would replay 0 records" in dlq(mended, "replay"), "what is handled is not replayed again"
    consume_all(mended, MODEL=FORGIVING)
    assert answers(mended).items() >= {"mine": "14 bytes", without: "11 bytes"}.items()
    assert sorted(answers(mended).values()) == ["11 bytes", "14 bytes", "good"]
    replayed = {m.value(): carried(m) for m in mended.records() if "velox-dlq-attempts" in dict(carried(m))}
    assert replayed.keys() == {b"bad with an id", b"bad without"}
    assert replayed[b"bad with an id"][:2] == [("velox-id", b"mine"), ("trace", b"\xff")]

    before = answers(mended)
    assert "Replayed 2 of 2 records" in dlq(mended, "replay", "--all"), "unless that is asked for"
    consume_all(mended, MODEL=FORGIVING)
    assert answers(mended) == before


def test_a_replayed_record_that_fails_again_is_a_dead_letter_with_one_attempt_more(pipeline: PipelineFactory) -> None:
    stubborn = pipeline(partitions=1)
    stubborn.publish(b"bad")
    consume_all(stubborn)
    dlq(stubborn, "replay")
    consume_all(stubborn)
    first, second = sorted((why for _, why in letters(stubborn)), key=lambda why: int(why["velox-dlq-offset"]))
    assert (first["velox-dlq-attempts"], second["velox-dlq-attempts"]) == ("1", "2")
    assert first["velox-dlq-id"] == second["velox-dlq-id"] == first["velox-dlq-origin"] == second["velox-dlq-origin"]
    assert (first["velox-dlq-offset"], second["velox-dlq-offset"]) == ("0", "1")
    assert open_letters(stubborn) == 1


def test_a_choice_leaves_all_others_as_they_were(pipeline: PipelineFactory) -> None:
    mixed = pipeline(partitions=1)
    mixed.publish(b"bad 0", b"", b"bad 2", b"bad 3", b"")
    consume_all(mixed)
    assert "Replayed 1 of 1" in dlq(mixed, "replay", f"{mixed.topic}-0-2")
    assert "Discarded 2 dead letters" in dlq(mixed, "discard", "--reason", "empty")
    listed = dlq(mixed, "list")
    assert "2 dead letters, 3 handled already" in listed
    assert "empty" not in listed
    assert "Replayed 1 of 1" in dlq(mixed, "replay", "--limit", "1")
    assert [m.value() for m in mixed.records()][5:] == [b"bad 2", b"bad 0"], "the oldest first"
    assert open_letters(mixed) == 1
    assert "has no dead letter of nobody" in dlq(mixed, "show", "nobody", expect=2)
    assert f"no dead letter of {mixed.topic}-0-2" in dlq(mixed, "discard", f"{mixed.topic}-0-2", expect=2)
    assert "say --yes to discard all" in dlq(mixed, "discard", expect=2)
    assert "Discarded 1 dead letters" in dlq(mixed, "discard", "--yes")
    assert open_letters(mixed) == 0


def test_a_letter_is_shown_whole_and_can_do_nothing_to_the_terminal(pipeline: PipelineFactory, tmp_path: Path) -> None:
    shown = pipeline(partitions=1)
    shown.publish(b"bad \x1b[2J", headers=[("evil[red]", b"\x1b]0;title\x07")])
    consume_all(shown)
    said = dlq(shown, "show", "--save", str(tmp_path / "bad"))
    assert "\x1b" not in said
    assert "\x07" not in said
    assert r"evil[red]: \x1b]0;title\x07" in said
    assert "velox-dlq-error: BadRecordError: told to be bad" in said
    assert (tmp_path / "bad" / f"{shown.topic}-0-0.bin").read_bytes() == b"bad \x1b[2J"


def test_a_letter_that_left_its_value_behind_is_replayed_from_its_source(pipeline: PipelineFactory) -> None:
    large = pipeline(partitions=1)
    large.publish(b"x" * 3_000_000, headers=[("a", b"1")])
    consume_all(large, MAX_MESSAGE_BYTES=1024)
    ((letter, why),) = letters(large)
    assert (letter.value(), why["velox-dlq-value-omitted-bytes"]) == (None, "3000000")
    assert "3000000 bytes" in dlq(large, "show")
    assert "Replayed 1 of 1" in dlq(large, "replay")
    consume_all(large, MODEL=FORGIVING)
    assert answers(large) == {f"{large.topic}-0-0": "3000000 bytes"}


def test_what_is_nowhere_any_more_is_said_and_not_counted_as_replayed(pipeline: PipelineFactory) -> None:
    gone = pipeline(partitions=1)
    lost = {
        "velox-dlq-reason": "too_large",
        "velox-dlq-topic": gone.topic,
        "velox-dlq-partition": "0",
        "velox-dlq-offset": "77",
        "velox-dlq-value-omitted-bytes": "9",
    }
    consume_all(gone)
    gone_dlq = Pipeline(gone.folder, gone.bootstrap, f"{gone.topic}.dlq", gone.mongo_uri, gone.database, gone.settings)
    gone_dlq.publish(None, headers=[(name, text.encode()) for name, text in lost.items()])
    gone_dlq.publish(b"no letter at all")
    said = dlq(gone, "replay", expect=1)
    assert f"{gone.topic}-0-77: the letter left its value behind, and Kafka no longer has the record" in said
    assert "Replayed 0 of 1" in said
    assert "1 dead letters, 0 handled already, 1 records that are none of " in dlq(gone, "list")
    assert "Kafka no longer has it" in dlq(gone, "show")


def test_a_record_too_large_for_a_replays_headers_is_said_and_costs_only_itself(
    pipeline: PipelineFactory, kafka: KafkaServer
) -> None:
    tight = pipeline(partitions=1)
    name = f"tight-{uuid.uuid4().hex[:8]}"
    kafka.create_topic(name, partitions=1, config={"max.message.bytes": "100000"})
    tight.settings |= {"KAFKA_TOPIC": name, "COMPRESSION_TYPE": "none"}
    tight.topic = name
    tight.publish(b"bad" + bytes(99_900), b"bad")
    consume_all(tight)
    said = dlq(tight, "replay", expect=1)
    assert f"{name}-0-0: not replayed: Broker: Message size too large" in said
    assert "Replayed 1 of 2" in said
    assert open_letters(tight) == 1


def test_without_a_broker_it_says_so_and_ends(pipeline: PipelineFactory) -> None:
    nowhere = pipeline(partitions=1)
    said = dlq(nowhere, "list", expect=2, KAFKA_BOOTSTRAP_SERVER="127.0.0.1:1")
    assert said.startswith("velox dlq: Kafka does not say what topic")


def test_a_topic_without_dead_letters_is_one_clear_line(pipeline: PipelineFactory) -> None:
    assert "is the topic there?" in dlq(pipeline(partitions=1), "list", expect=2)


def test_dead_letters_lie_on_the_topic_that_is_named_for_them_and_are_found_there(pipeline: PipelineFactory) -> None:
    mended = pipeline(DEAD_LETTER_TOPIC=f"bad-{uuid.uuid4().hex[:8]}")
    mended.publish(b"good", b"bad record")
    consume_all(mended)
    assert [message.value() for message in mended.records(mended.settings["DEAD_LETTER_TOPIC"])] == [b"bad record"]
    assert f"{mended.settings['DEAD_LETTER_TOPIC']}: 1 dead letters, 0 handled already" in dlq(mended, "list")
    assert "Replayed 1 of 1 records" in dlq(mended, "replay")
    consume_all(mended, MODEL=FORGIVING)
    assert mended.count() == 2
    assert f"{mended.topic}.dlq" not in mended.topics()
