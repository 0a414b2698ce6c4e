"""The parts of ``velox verify`` that start nothing; the account has its own file."""

import json
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tests.fakes import FakeClock
from velox.core.envelope import PARSERS, Codec, checksum, unframe, verify
from velox.core.letters import Content
from velox.errors import BadRecordError, SettingsError, VeloxError
from velox.models import numbered
from velox.models.numbered import NumberedModel
from velox.models.preprocessing import Preprocessor
from velox.records import Partition
from velox.settings import Settings
from velox.sources.source import Item
from velox.tools.up.environment import as_environment
from velox.tools.verify.ledger import Ledger
from velox.tools.verify.numbered import JSON_FORM, Records
from velox.tools.verify.plan import Kind, Plan
from velox.tools.verify.premises import establish
from velox.tools.verify.report import Report
from velox.tools.verify.watch import Watch

LEFT, RIGHT = Partition("records", 0), Partition("records", 1)
MODEL = NumberedModel(Settings())

CODECS = [codec for codec in Codec if codec is not Codec.KEY]
"""Those whose records verify can make: for the other it would have to make objects."""


class Two:
    """A source of two payloads."""

    interval_s: float | None = None

    def __init__(self, settings: Settings, path: str) -> None: ...

    def __iter__(self) -> Iterator[Item]:
        return iter([Item(None, {}, b"one"), Item(None, {}, b"two")])


def taken(codec: Codec, value: bytes) -> bytes:
    """The payload of a value, as a consumer takes it out."""
    found = PARSERS[codec](value, JSON_FORM)
    if found.problem is not None:
        raise found.problem
    return found.payload


def outcome(records: Records, number: int) -> str | int:
    """What becomes of a record: the built-in model's number, or why it is refused."""
    value, headers = records.build(number)
    try:
        verify(value, headers)
        payload = taken(records.codec, value)
        return MODEL.decode(payload) if payload else "empty"
    except BadRecordError as error:
        return error.reason.value


@pytest.mark.parametrize("number", [0, 1, 7, 12_345_678])
def test_the_built_in_model_reads_the_number_and_answers_its_label(number: int) -> None:
    model = NumberedModel(Settings())
    assert model.decode(numbered.payload(number)) == number
    (prediction,) = model.predict([number])
    assert (prediction.label, prediction.confidence) == (numbered.label(number), 1.0)
    assert numbered.payload(number).startswith(b"\xff\xd8\xff")


def test_a_good_record_carries_its_number_and_its_label() -> None:
    records = Records("run", Codec.FRAMED, 0.0, None)
    value, headers = records.build(4)
    metadata, payload = unframe(value)
    assert outcome(records, 4) == 4
    assert dict(headers) == {"velox-id": b"verify-run-00000004", "velox-crc32": checksum(value)}
    assert f"{metadata['color_label']}_{metadata['shape_label']}" == records.label(4) == numbered.label(4)
    assert payload == numbered.payload(4)
    assert records.id(4) == "verify-run-00000004"


def test_bad_records_are_bad_in_every_way_and_remembered() -> None:
    records = Records("run", Codec.FRAMED, 1.0, None)
    reasons = {outcome(records, number) for number in range(6)}
    assert reasons == {*("bad_envelope", "bad_metadata", "empty", "not_an_image", "undecodable", "checksum_mismatch")}
    assert records.poisoned == 6


@pytest.mark.parametrize("codec", CODECS)
def test_what_has_to_become_of_a_record_is_what_the_codec_and_the_built_in_model_make_of_it(codec: Codec) -> None:
    records = Records("run", codec, 0.5, None)
    outcomes = [outcome(records, number) for number in range(200)]
    due = [records.due(number) for number in range(200)]
    assert due == ["stored" if what == number else what for number, what in enumerate(outcomes)]
    assert len(set(due)) == {Codec.FRAMED: 7, Codec.RAW: 5, Codec.JSON: 7}[codec]


@pytest.mark.parametrize("codec", CODECS)
def test_what_the_model_that_velox_trains_refuses_is_known(codec: Codec) -> None:
    preprocess = Preprocessor(size=32, profile="fast", max_pixels=10**6, max_side=1000)
    records = Records("run", codec, 1.0, Two(Settings(), ""), reads_images=True)
    for number in range(6):
        value, headers = records.build(number)
        with pytest.raises(BadRecordError) as refused:
            verify(value, headers)
            preprocess(taken(codec, value))
        assert records.due(number) == refused.value.reason


@pytest.mark.parametrize("codec", CODECS)
def test_of_other_models_only_what_never_reaches_them_is_known(codec: Codec) -> None:
    records = Records("run", codec, 1.0, Two(Settings(), ""))
    reaches = {}
    for number in range(6):
        value, headers = records.build(number)
        try:
            verify(value, headers)
            reaches[number] = bool(taken(codec, value))
        except BadRecordError:
            reaches[number] = False
    assert {number: records.due(number) is None for number in range(6)} == reaches
    assert True in reaches.values() and False in reaches.values()
    assert records.due(6) is None, "a good one: only the model knows whether it can read it"


def test_ids_lead_back_to_numbers_and_others_do_not() -> None:
    records = Records("run", Codec.RAW, 0.0, None)
    assert [records.number(records.id(number)) for number in (0, 7, 9_999_999)] == [0, 7, 9_999_999]
    others = ("topic-0-2", "verify-ran-00000001", "verify-run-", "verify-run-1", "verify-run-0000000x", "00000001")
    assert [records.number(identity) for identity in others] == [None] * len(others)


def test_numbers_with_the_same_payload_are_twins() -> None:
    records = Records("run", Codec.FRAMED, 0.0, Two(Settings(), ""))
    for number in range(8):
        records.poison = float(number in {6, 7})
        records.build(number)
    assert [records.payload(number) for number in range(4)] == [b"one", b"two", b"one", b"two"]
    assert [records.twin(number) for number in range(6)] == [0, 1, 0, 1, 0, 1]
    assert len({records.twin(number) for number in range(8)}) == 4
    own = Records("run", Codec.RAW, 0.0, None)
    assert [own.twin(number) for number in range(3)] == [0, 1, 2]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("poison", [0.0, 1.0])
def test_a_dead_letter_that_carries_its_record_is_told_from_one_that_does_not(codec: Codec, poison: float) -> None:
    records = Records("run", codec, poison, None)
    for number in range(12):
        value, headers = records.build(number)
        whole = Content(records.key(number), value, headers)
        assert records.is_whole(number, whole)
        others = [
            whole._replace(value=value + b"x"),
            whole._replace(value=value[1:]),
            whole._replace(value=None),
            whole._replace(key=b"another"),
            whole._replace(headers=headers[1:]),
            whole._replace(headers=[("velox-id", b"verify-run-99999999"), *headers[1:]]),
        ]
        altered = [each for each in others if each._replace(value=each.value or b"") != whole]
        assert not any(records.is_whole(number, each) for each in altered)
        assert len(altered) >= 4


def test_a_share_of_the_records_is_bad() -> None:
    records = Records("run", Codec.RAW, 0.1, None)
    good = [number for number in range(2000) if outcome(records, number) == number]
    assert len(good) == 2000 - records.poisoned
    assert 100 < records.poisoned < 300


def test_a_source_that_ends_begins_anew() -> None:
    records = Records("run", Codec.RAW, 0.0, Two(Settings(), ""))
    assert [records.build(number)[0] for number in range(5)] == [b"one", b"two", b"one", b"two", b"one"]
    assert records.label(0) is None


def test_faults_are_spread_evenly_and_mixed() -> None:
    plan = Plan(count=1200, kill_consumer=3, kill_inference=4, rebalance=2, broker_restart=("b",), sink_outage=("s",))
    faults = plan.faults()
    assert [fault.at for fault in faults] == list(range(100, 1200, 100))
    kinds = [fault.kind for fault in faults]
    assert (kinds.count(Kind.KILL_CONSUMER), kinds.count(Kind.KILL_INFERENCE), kinds.count(Kind.JOIN)) == (3, 4, 2)
    assert {fault.command for fault in faults} == {"", "b", "s"}
    assert kinds != sorted(kinds)
    assert plan.faults() == faults


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"count": 0}, "--count 0"),
        ({"rate": -1.0}, "--rate -1"),
        ({"consumers": -1}, "--consumers -1"),
        ({"json_path": Path("/nowhere/figures.json")}, "no folder /nowhere"),
        ({"kill_consumer": -1}, "--kill-consumer -1"),
        ({"count": 3, "kill_consumer": 2, "rebalance": 1}, "fewer records than faults"),
        ({"poison": 0.6}, "DEAD_LETTER_RATIO=0.5"),
        ({"consumers": 0, "kill_inference": 1}, "--kill-inference and --no-consumer"),
        ({"consumers": 0}, "STORE=detections"),
        ({"consumers": 0, "embedded": True}, "--embedded and --no-consumer"),
        ({"embedded": True, "broker_restart": ("x",)}, "--broker-restart"),
        ({"embedded": True, "count": 100_000, "poison": 0.4}, "40000 dead letters"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        Plan(**arguments).check(Settings(store="detections"))


def test_images_that_are_deleted_cannot_be_checked_where_they_are() -> None:
    with pytest.raises(SettingsError, match="MAX_STORED_FILES"):
        Plan(consumers=0).check(Settings(store="all", max_stored_files=5))


def test_a_run_has_everything_of_its_own() -> None:
    user = Settings(max_stored_files=3, sinks=("mongo", "disk"))
    own = establish(user, Plan(), "ab12", None).settings
    assert own.kafka_topic == "image_data.verify-ab12"
    assert own.kafka_consumer_group == "gpu_cluster_h100.verify-ab12"
    assert (own.db_name, own.mongo_collection) == (user.db_name, "shapes_found_verify_ab12")
    assert own.sqlite_path == Path("velox.verify-ab12.db")
    assert own.storage_path == user.storage_path / "verify-ab12"
    assert (own.store, own.max_stored_files) == ("all", 0)
    assert own.kafka_bootstrap_server == user.kafka_bootstrap_server


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("sqlite:///a/velox.db", "sqlite:///a/velox.verify_ab12.db"),
        (
            "postgresql://user:hush@host/name?sslmode=require",
            "postgresql://user:hush@host/name?options=-csearch_path%3Dverify_ab12&sslmode=require",
        ),
    ],
)
def test_a_run_has_requests_of_its_own_where_there_is_a_store_of_them(url: str, own: str) -> None:
    user = Settings(sinks=("requests",), requests_url=SecretStr(url))
    premises = establish(user, Plan(), "ab12", None)
    assert premises.settings.requests_url.get_secret_value() == own
    assert "hush" not in repr(premises)
    assert as_environment(premises.changed)["REQUESTS_URL"] == own
    assert "requests_url" not in establish(Settings(sinks=("sqlite",)), Plan(), "ab12", None).changed


def test_consumers_that_run_already_are_left_as_they_are() -> None:
    premises = establish(Settings(), Plan(consumers=0), "ab12", None)
    assert premises.settings == Settings()
    assert not premises.own
    assert not premises.is_built_in


def test_consumers_of_a_run_have_names_of_their_own_if_the_users_have() -> None:
    assert "group_instance_id" not in establish(Settings(), Plan(), "ab12", None).changed
    named = establish(Settings(group_instance_id="velox-0"), Plan(), "ab12", None)
    assert named.changed["group_instance_id"] == "verify-ab12"


@pytest.mark.parametrize(("sinks", "expected"), [(("disk",), True), (("disk", "mongo"), False)])
def test_where_no_database_tells_what_was_detected_everything_is(sinks: tuple[str, ...], expected: bool) -> None:
    assert establish(Settings(sinks=sinks), Plan(), "ab12", None).everything_is_a_detection is expected


def test_the_longest_time_without_a_commit_is_a_stall_only_while_something_is_unread() -> None:
    clock = FakeClock()
    watch = Watch(clock=clock)
    clock.advance(100)
    watch.saw({LEFT: 5}, {LEFT: 5}, healthy=True)
    clock.advance(50)
    watch.saw({LEFT: 5}, {LEFT: 9}, healthy=True)
    for seconds in (2, 1):
        clock.advance(seconds)
        watch.saw({LEFT: 5}, {LEFT: 9}, healthy=True)
    assert watch.still_for_s == 3
    watch.saw({LEFT: 6}, {LEFT: 9}, healthy=True)
    assert watch.longest_stall_s == 3
    assert watch.unread == 3


def test_a_fault_is_over_when_all_are_well_and_every_partition_with_unread_records_has_moved_on() -> None:
    clock = FakeClock()
    watch = Watch(clock=clock)
    watch.saw({LEFT: 5, RIGHT: 7}, {LEFT: 9, RIGHT: 9, Partition("records", 2): 0}, healthy=True)
    watch.fault(Kind.KILL_CONSUMER)
    ends = {LEFT: 20, RIGHT: 20}
    clock.advance(1)
    assert watch.saw({LEFT: 6, RIGHT: 7}, ends, healthy=True) is None
    clock.advance(1)
    assert watch.saw({LEFT: 6, RIGHT: 8}, ends, healthy=False) is None
    assert watch.is_recovering
    clock.advance(1)
    assert watch.saw({LEFT: 6, RIGHT: 8}, ends, healthy=True) == 3
    assert watch.recoveries == {Kind.KILL_CONSUMER: [3]}
    assert not watch.is_recovering


def test_a_partition_with_nothing_unread_is_not_waited_for() -> None:
    clock = FakeClock()
    watch = Watch(clock=clock)
    watch.saw({LEFT: 9}, {LEFT: 9}, healthy=True)
    watch.fault(Kind.KILL_INFERENCE, seconds_ago=0.5)
    assert watch.saw({}, {LEFT: 30}, healthy=True) == 0.5


def report(problems: list[str]) -> Report:
    ledger = Ledger(
        produced=10,
        poisoned=1,
        acknowledged=10,
        stored={"mongo": 8},
        detections=3,
        dead_lettered={"empty": 1},
        dead_lettered_again=0,
        uncommitted=0,
        missing={"mongo": ["verify-run-00000003"]} if problems else {},
    )
    watch = Watch()
    watch.recoveries[Kind.KILL_CONSUMER] += [1.0, 2.0, 6.0]
    return Report(
        ledger=ledger,
        watch=watch,
        circumstances={"run": "ab12", "model": "built-in"},
        absorbed=4,
        restarts=2,
        unchecked=["mine:Sink"],
        problems=problems,
    )


def test_the_report_says_it_all(capsys: pytest.CaptureFixture[str]) -> None:
    report([]).show()
    said = capsys.readouterr().out
    for part in ("run ab12", "stored in mongo", "empty", "p50 2.0 s, max 6.0 s", "none lost, none doubled"):
        assert part in said
    assert "Not checked: mine:Sink" in said


def test_the_report_names_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    report(["1 records missing in mongo: verify-run-00000003"]).show()
    said = capsys.readouterr().out
    assert "NOT every record" in said
    assert "none lost" not in said
    assert "verify-run-00000003" in said


LISTS = [piece.name for piece in fields(Ledger) if piece.type == dict[str, list[str]]]


@pytest.mark.parametrize("name", LISTS)
def test_each_kind_of_fault_has_its_row_with_its_number(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    made = report([])
    made.show()
    before = capsys.readouterr().out.splitlines()
    setattr(made.ledger, name, {"somewhere": [f"verify-run-{number:08d}" for number in range(4321)]})
    made.show()
    changed = [line for line in capsys.readouterr().out.splitlines() if line not in before]
    assert [line for line in changed if "4,321" in line], name


@pytest.mark.parametrize("problems", [[], ["1 records missing in mongo: verify-run-00000003"]])
def test_the_json_is_ok_only_without_a_problem_and_has_every_figure(problems: list[str], tmp_path: Path) -> None:
    made = report(problems)
    made.save(tmp_path / "figures.json")
    found = json.loads((tmp_path / "figures.json").read_text())
    assert found["ok"] is (not problems)
    assert found["problems"] == problems
    assert found["unchecked"] == ["mine:Sink"]
    assert asdict(made.ledger).items() <= found.items()
    assert (found["run"], found["duplicates_absorbed_at_least"], found["unasked_restarts"]) == ("ab12", 4, 2)
    assert found["recovery_s"] == {"kill consumer": [1.0, 2.0, 6.0]}


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(VeloxError, match="--json"):
        report([]).save(tmp_path / "nowhere" / "figures.json")


@pytest.mark.parametrize(
    ("topic", "plan", "written", "count"),
    [
        ("camera_{1..3}", Plan(), "camera_1.verify-ab12.1,camera_1.verify-ab12.2,camera_1.verify-ab12.3", 3),
        ("image_data", Plan(topics=2), "image_data.verify-ab12.1,image_data.verify-ab12.2", 2),
        (r"^camera_\d+$", Plan(), r"^velox\.verify\-ab12\.\d+$", 4),
        (r"^camera_\d+$", Plan(topics=20), r"^velox\.verify\-ab12\.\d+$", 20),
    ],
)
def test_a_run_reads_its_own_topics_as_the_users_consumers_read_theirs(
    topic: str, plan: Plan, written: str, count: int
) -> None:
    several: dict[str, Any] = {} if topic == "image_data" else {"dead_letter_topic": "bad"}
    premises = establish(Settings(kafka_topic=topic, **several), plan, "ab12", None)
    own = premises.settings
    assert (own.kafka_topic, len(premises.topics)) == (written, count)
    assert own.subscription.among(premises.topics) == premises.topics
    Settings(**{name: getattr(own, name) for name in ("kafka_topic", "dead_letter_topic", "results_topic", "sinks")})
    assert premises.letters_topic.endswith(".verify-ab12.dlq")


def test_whose_topics_are_others_are_not_chosen() -> None:
    with pytest.raises(SettingsError, match="--topics 3 and --no-consumer: records go to KAFKA_TOPIC as it is"):
        Plan(consumers=0, topics=3).check(Settings(store="all"))
