"""The account of ``velox verify``: whatever is wrong anywhere shows, and nothing else does."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields

import pytest

from velox.core.envelope import Codec
from velox.models import numbered
from velox.records import Partition
from velox.settings import Settings
from velox.sinks.sink import Stored
from velox.sources.source import Item
from velox.tools.verify.findings import DeadLetter, InDeadLetters, InSink
from velox.tools.verify.ledger import Evidence, Ledger, reconcile
from velox.tools.verify.numbered import KEYS, Records
from velox.tools.verify.places import Places

COUNT = 8
"""Two of them are detections, 0 and 4."""
BAD = 7
"""The one that is bad on purpose."""


class Two:
    """A source of two payloads."""

    interval_s: float | None = None

    def __init__(self, settings: Settings, path: str) -> None: ...

    def __iter__(self) -> Iterator[Item]:
        return iter([Item(None, {}, b"one"), Item(None, {}, b"two")])


def built(records: Records, *, bad: tuple[int, ...] = (BAD,)) -> Records:
    """Build the records, these of them bad, each in another way."""
    for number in range(COUNT):
        records.poison = float(number in bad)
        records.build(number)
    return records


RECORDS = built(Records("run", Codec.FRAMED, 0.0, None))
ID = [RECORDS.id(number) for number in range(10)]


def row(
    number: int,
    *,
    identity: str = "",
    label: str | None = None,
    is_detection: bool | None = None,
    position: tuple[str, int, int] | None = None,
    predicted_at: float | None = None,
) -> Stored:
    """What a database shows of a record."""
    return Stored(
        id=identity or RECORDS.id(number),
        label=numbered.label(number) if label is None else label,
        is_detection=numbered.label(number) == numbered.LABELS[0] if is_detection is None else is_detection,
        position=position or ("topic", 0, number),
        predicted_at=1000.0 + number if predicted_at is None else predicted_at,
    )


def image(number: int) -> Stored:
    """What the disk shows of one."""
    return Stored(RECORDS.id(number))


@dataclass
class Scene:
    """A run in which all is well; to be spoiled. Number 7 is bad and a dead letter, the others are in ``mongo``."""

    published: int = COUNT
    acknowledged: dict[int, tuple[int, int]] = field(default_factory=lambda: {n: (0, n) for n in range(COUNT)})
    sinks: dict[str, list[Stored]] = field(
        default_factory=lambda: {"mongo": [row(number) for number in range(BAD)], "disk": [image(0), image(4)]}
    )
    takes_all: set[str] = field(default_factory=lambda: {"mongo"})
    dead_letters: list[DeadLetter] = field(default_factory=lambda: [DeadLetter(ID[BAD], "bad_metadata")])
    uncommitted: int = 0
    all_are_detections: bool = False
    altered: set[int] = field(default_factory=set)
    """Images with another content."""
    records: Records = field(default_factory=lambda: RECORDS)

    def reconcile(self) -> Ledger:
        places = Places()
        for number, (partition, offset) in self.acknowledged.items():
            places.put(number, Partition("topic", partition), offset)
        sinks = {
            name: InSink(
                self.records,
                places,
                self.published,
                takes_all=name in self.takes_all,
                tells_detections=name == "mongo",
            )
            for name in self.sinks
        }
        for name, rows in self.sinks.items():
            sinks[name].read(rows)
        if "disk" in sinks:
            sinks["disk"].altered |= self.altered
        letters = InDeadLetters(self.records, self.published)
        letters.read(self.dead_letters)
        evidence = Evidence(self.published, places, sinks, letters, self.uncommitted, self.all_are_detections)
        return reconcile(evidence, self.records)


def test_where_nothing_is_wrong_nothing_is_found() -> None:
    ledger = Scene().reconcile()
    assert ledger.problems() == ledger.unchecked() == []
    assert (ledger.produced, ledger.poisoned, ledger.acknowledged, ledger.detections) == (8, 1, 8, 2)
    assert ledger.stored == {"mongo": 7, "disk": 2}
    assert ledger.dead_lettered == {"bad_metadata": 1}
    assert ledger.order_inversions == ledger.dead_lettered_again == 0


def swap(place: str, index: int, new: Stored) -> Callable[[Scene], object]:
    """Put another row in the place of one."""
    return lambda run: run.sinks[place].__setitem__(index, new)


def add(place: str, new: Stored) -> Callable[[Scene], object]:
    return lambda run: run.sinks[place].append(new)


def blame(number: int, reason: str, *, instead: bool = True) -> Callable[[Scene], object]:
    """Have a dead letter for this record, instead of its result or besides it."""

    def spoil(run: Scene) -> None:
        if instead:
            run.sinks["mongo"] = [each for each in run.sinks["mongo"] if each.id != ID[number]]
        run.dead_letters.append(DeadLetter(ID[number], reason))

    return spoil


NO_DETECTIONS = ", ".join(ID[number] for number in (1, 2, 3, 5, 6))
ONLY_DETECTIONS = [row(number, is_detection=True) for number in range(BAD)]
SPOILED: list[tuple[str, str, Callable[[Scene], object], list[str]]] = [
    (
        "published",
        "an id that was never published",
        lambda run: setattr(run, "published", 7),
        [f"1 unknown id in dead letters: {ID[7]}"],
    ),
    (
        "acknowledged",
        "nothing acknowledged",
        lambda run: run.acknowledged.clear(),
        ["none of 8 records acknowledged by Kafka: nothing is proven"],
    ),
    (
        "acknowledged",
        "a record that lies elsewhere",
        lambda run: run.acknowledged.update({2: (1, 2)}),
        [f"1 wrong result in mongo: {ID[2]}"],
    ),
    (
        "sinks",
        "a record that a database lacks",
        lambda run: run.sinks["mongo"].pop(3),
        [f"1 record missing in mongo: {ID[3]}"],
    ),
    ("sinks", "a record twice", add("mongo", row(2)), [f"1 record doubled in mongo: {ID[2]}"]),
    (
        "sinks",
        "a record under another id too",
        add("mongo", row(2, identity="topic-0-2")),
        [f"2 records doubled in mongo: topic-0-2, {ID[2]}", "1 unknown id in mongo: topic-0-2"],
    ),
    (
        "sinks",
        "a record under another id only",
        swap("mongo", 2, row(2, identity="run-2")),
        [f"1 record missing in mongo: {ID[2]}", "1 unknown id in mongo: run-2"],
    ),
    (
        "sinks",
        "the label of another record",
        swap("mongo", 0, row(0, label=numbered.LABELS[1])),
        [f"1 wrong result in mongo: {ID[0]}"],
    ),
    (
        "sinks",
        "the position of another record",
        swap("mongo", 2, row(2, position=("topic", 0, 3))),
        [f"1 wrong result in mongo: {ID[2]}"],
    ),
    (
        "sinks",
        "a detection that is said to be none",
        swap("mongo", 4, row(4, is_detection=False)),
        [f"1 wrong result in mongo: {ID[4]}"],
    ),
    (
        "sinks",
        "none that is said to be a detection",
        swap("mongo", 3, row(3, is_detection=True)),
        [f"1 wrong result in mongo: {ID[3]}"],
    ),
    (
        "sinks",
        "everything said to be a detection",
        lambda run: run.sinks.update(mongo=ONLY_DETECTIONS),
        [f"5 wrong results in mongo: {NO_DETECTIONS}"],
    ),
    (
        "sinks",
        "a detection without its image",
        lambda run: run.sinks["disk"].pop(),
        [f"1 record missing in disk: {ID[4]}"],
    ),
    ("sinks", "an image twice", add("disk", image(0)), [f"1 record doubled in disk: {ID[0]}"]),
    ("sinks", "an image of no detection", add("disk", image(3)), [f"1 wrong result in disk: {ID[3]}"]),
    ("sinks", "an image of nobody", add("disk", Stored("run-x")), ["1 unknown id in disk: run-x"]),
    (
        "sinks",
        "an image with another content",
        lambda run: run.altered.add(4),
        [f"1 record altered in disk: {ID[4]}"],
    ),
    (
        "sinks",
        "a bad record that is stored",
        add("mongo", row(BAD)),
        [f"1 bad record stored in mongo: {ID[BAD]}", f"1 record doubled in dead letters: {ID[BAD]}"],
    ),
    (
        "sinks",
        "a bad record that has an image",
        add("disk", image(BAD)),
        [f"1 bad record stored in disk: {ID[BAD]}", f"1 record doubled in dead letters: {ID[BAD]}"],
    ),
    (
        "dead_letters",
        "a bad record without one",
        lambda run: run.dead_letters.clear(),
        [f"1 record missing in dead letters: {ID[BAD]}"],
    ),
    (
        "dead_letters",
        "another reason",
        lambda run: run.dead_letters.__setitem__(0, DeadLetter(ID[BAD], "empty")),
        [f"1 bad record dead-lettered as empty, not bad_metadata: {ID[BAD]}"],
    ),
    (
        "dead_letters",
        "another reason the second time",
        blame(BAD, "empty"),
        [f"1 bad record dead-lettered as empty, not bad_metadata: {ID[BAD]}"],
    ),
    (
        "dead_letters",
        "a good record blamed for a kill",
        blame(1, "killed_inference"),
        [f"1 good record dead-lettered as killed_inference: {ID[1]}"],
    ),
    (
        "dead_letters",
        "a good record blamed for its data",
        blame(1, "bad_metadata"),
        [f"1 good record dead-lettered as bad_metadata: {ID[1]}"],
    ),
    (
        "dead_letters",
        "a good record blamed and stored",
        blame(1, "empty", instead=False),
        [f"1 good record dead-lettered as empty: {ID[1]}", f"1 record doubled in dead letters: {ID[1]}"],
    ),
    (
        "dead_letters",
        "one that does not carry its record",
        lambda run: run.dead_letters.__setitem__(0, DeadLetter(ID[BAD], "bad_metadata", is_whole=False)),
        [f"1 record altered in dead letters: {ID[BAD]}"],
    ),
    (
        "dead_letters",
        "one of nobody",
        lambda run: run.dead_letters.append(DeadLetter("topic-0-9", "empty")),
        ["1 unknown id in dead letters: topic-0-9"],
    ),
    ("uncommitted", "a record", lambda run: setattr(run, "uncommitted", 1), ["1 record not committed"]),
    (
        "all_are_detections",
        "others",
        lambda run: setattr(run, "all_are_detections", True),
        [f"5 records missing in disk: {NO_DETECTIONS}", f"5 wrong results in mongo: {NO_DETECTIONS}"],
    ),
]


@pytest.mark.parametrize(
    ("spoil", "expected"), [case[2:] for case in SPOILED], ids=[f"{piece}: {what}" for piece, what, *_ in SPOILED]
)
def test_one_thing_that_is_wrong_is_found_and_nothing_else(
    spoil: Callable[[Scene], object], expected: list[str]
) -> None:
    run = Scene()
    spoil(run)
    problems = run.reconcile().problems()
    assert sorted(problems) == sorted(expected)


def test_every_piece_of_evidence_can_show_that_something_is_wrong() -> None:
    assert {piece for piece, *_ in SPOILED} == {piece.name for piece in fields(Evidence)}


def test_every_list_of_the_ledger_is_a_problem() -> None:
    lists = [piece.name for piece in fields(Ledger) if piece.type == dict[str, list[str]]]
    assert len(lists) == 8
    for name in lists:
        ledger = Scene().reconcile()
        setattr(ledger, name, {"somewhere": [ID[1]]})
        (problem,) = ledger.problems()
        assert "somewhere" in problem and ID[1] in problem


def test_a_record_that_no_sink_has_is_missing_in_each_that_should() -> None:
    missing = Scene(sinks={"mongo": [], "disk": []}).reconcile().missing
    assert {sink: len(ids) for sink, ids in missing.items()} == {"mongo": 7, "disk": 2}


def test_a_record_that_was_never_acknowledged_is_owed_to_nobody_and_no_stranger() -> None:
    scene = Scene(acknowledged={number: (0, number) for number in range(6)}, dead_letters=[])
    assert scene.reconcile().problems() == []
    scene.sinks["mongo"].pop()
    ledger = scene.reconcile()
    assert ledger.problems() == []
    assert ledger.unchecked() == ["2 records that Kafka did not acknowledge"]


def test_a_dead_letter_written_twice_counts_once() -> None:
    ledger = Scene(dead_letters=[DeadLetter(ID[BAD], "bad_metadata")] * 3).reconcile()
    assert ledger.problems() == []
    assert ledger.dead_lettered == {"bad_metadata": 1}
    assert ledger.dead_lettered_again == 2


def test_without_a_database_every_record_owes_an_image_if_so_it_is_said() -> None:
    images = Scene(sinks={"disk": [image(number) for number in range(6)]}, takes_all={"disk"}, all_are_detections=True)
    assert images.reconcile().missing == {"disk": [ID[6]]}


def test_a_sink_that_does_not_keep_what_is_a_detection_says_nothing_about_it() -> None:
    scene = Scene()
    scene.sinks["mine"] = [image(number) for number in range(BAD)]
    scene.takes_all.add("mine")
    assert scene.reconcile().problems() == []


@pytest.mark.parametrize(
    ("order", "inversions"), [([0, 1, 2], 0), ([0, 2, 1], 1), ([2, 1, 0], 2), ([1, 0, 2], 1), ([1, 2, 0], 2)]
)
def test_a_result_older_than_that_of_an_earlier_record_with_its_key_is_an_inversion(
    order: list[int], inversions: int
) -> None:
    rows = [row(number * KEYS, predicted_at=float(order.index(number)), label="") for number in range(3)]
    rows.append(row(1, predicted_at=-1.0))
    scene = Scene(published=3 * KEYS, acknowledged={0: (0, 0)}, sinks={"mongo": rows}, dead_letters=[])
    assert scene.reconcile().order_inversions == inversions


def test_a_problem_names_a_few_ids_and_counts_the_rest() -> None:
    scene = Scene()
    scene.sinks["mongo"].clear()
    (problem,) = scene.reconcile().problems()
    assert problem.startswith(f"7 records missing in mongo: {ID[0]}, ")
    assert problem.endswith(" and 2 more")


def own_model(*, bad: tuple[int, ...] = (), reads_images: bool = False) -> Scene:
    """A run of a user's own model, on payloads that come four times each; ``mongo`` has all the good ones."""
    records = built(Records("run", Codec.RAW, 0.0, Two(Settings(), ""), reads_images=reads_images), bad=bad)
    good = [number for number in range(COUNT) if number not in bad]
    rows = [row(number, label="any", is_detection=number == 0) for number in good]
    return Scene(sinks={"mongo": rows, "disk": [image(0)]}, dead_letters=[], records=records)


def test_what_an_own_model_answers_is_not_doubted() -> None:
    ledger = own_model().reconcile()
    assert ledger.problems() == ledger.unchecked() == []
    assert ledger.detections == 1


def test_an_own_model_may_refuse_a_payload_if_it_always_does() -> None:
    scene = own_model()
    for number in (1, 3, 5, 7):
        blame(number, "undecodable")(scene)
    ledger = scene.reconcile()
    assert ledger.problems() == []
    assert ledger.unchecked() == ["whether the model is right to refuse 4 records (undecodable 4)"]


def test_a_payload_that_an_own_model_has_answered_for_is_good() -> None:
    scene = own_model()
    blame(3, "undecodable")(scene)
    assert scene.reconcile().good_dead_lettered == {"undecodable": [ID[3]]}


def test_a_kill_is_no_reason_that_a_model_gives() -> None:
    scene = own_model()
    for number in (1, 3, 5, 7):
        blame(number, "killed_inference")(scene)
    assert scene.reconcile().good_dead_lettered == {"killed_inference": [ID[n] for n in (1, 3, 5, 7)]}


def test_an_own_model_may_store_what_is_no_image_but_not_what_never_reaches_a_model() -> None:
    scene = own_model(bad=(0, 1, 2, 3))  # no image, truncated, checksum, empty
    assert [scene.records.due(number) for number in range(5)] == [None, None, "checksum_mismatch", "empty", None]
    scene.sinks["disk"].clear()
    scene.sinks["mongo"] += [row(number, label="any", is_detection=False) for number in (0, 1, 2)]
    scene.dead_letters += [DeadLetter(ID[3], "empty")]
    assert scene.reconcile().bad_stored == {"mongo": [ID[2]]}


def test_the_model_that_velox_trains_refuses_what_is_no_image() -> None:
    scene = own_model(bad=(0, 1), reads_images=True)
    scene.sinks["disk"].clear()
    scene.sinks["mongo"] += [row(0, label="any", is_detection=False)]
    scene.dead_letters += [DeadLetter(ID[1], "not_an_image")]
    ledger = scene.reconcile()
    assert ledger.bad_stored == {"mongo": [ID[0]]}
    assert ledger.wrong_reasons == {"not_an_image, not undecodable": [ID[1]]}


def test_databases_that_disagree_on_what_is_a_detection_are_found_out() -> None:
    scene = own_model()
    scene.sinks["mine"] = [row(number, label="any", is_detection=number == 4) for number in range(COUNT)]
    scene.takes_all.add("mine")
    ledger = scene.reconcile()
    assert ledger.mistaken == {"mongo": [ID[4]], "mine": [ID[0]]}


def test_of_an_own_model_only_sinks_that_keep_what_is_a_detection_tell_which_are() -> None:
    scene = own_model()
    scene.sinks["mine"] = [image(number) for number in range(COUNT)]
    scene.takes_all.add("mine")
    ledger = scene.reconcile()
    assert ledger.problems() == []
    assert ledger.detections == 1


def test_images_of_an_own_model_without_a_database_are_said_to_be_unchecked() -> None:
    scene = own_model()
    del scene.sinks["mongo"]
    ledger = scene.reconcile()
    assert ledger.problems() == []
    assert ledger.detections is None
    assert ledger.unchecked() == ["whether disk has every detection: nothing tells which there are"]
