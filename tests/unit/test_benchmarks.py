"""What the benchmarks compute and check, on figures made up here."""

from typing import Any

import pytest

from benchmarks.figures import Growth, Spread, agreement, pairwise_ratios
from benchmarks.ledger import Ledger, account, uncommitted
from benchmarks.memory import grown
from benchmarks.throughput import Outcome
from velox.kafka.lag import Extent
from velox.records import Partition


def document(identity: str, offset: int, *, is_detection: bool = False) -> dict[str, Any]:
    return {"_id": identity, "partition": 0, "offset": offset, "is_detection": is_detection}


def balanced() -> Ledger:
    documents = [document("a", 0), document("b", 1, is_detection=True)]
    return account(2, ["a", "b"], documents, dead_letters=0, files=1, read_again=1)


def test_a_spread_is_least_median_and_most() -> None:
    assert Spread.of([5.0, 1.0, 3.0]) == Spread(1.0, 3.0, 5.0)
    assert Spread.of([1234.5, 2000.0]).text() == "1,234.5 / 1,617.2 / 2,000.0"


def test_ratios_are_taken_between_runs_of_the_same_round() -> None:
    assert pairwise_ratios([10.0, 30.0], [5.0, 10.0]) == [2.0, 3.0]
    with pytest.raises(ValueError, match="shorter"):
        pairwise_ratios([1.0, 2.0], [1.0])


def test_growth_compares_the_last_quarter_with_the_first() -> None:
    growth = Growth.of([100.0, 100.0, 500.0, 500.0, 500.0, 500.0, 105.0, 115.0])
    assert (growth.first, growth.last) == (100.0, 110.0)
    assert growth.share == pytest.approx(0.1)


def test_growth_of_one_sample_is_none() -> None:
    assert Growth.of([7.0]).share == 0


def test_agreement_counts_only_records_that_both_predicted() -> None:
    assert agreement({1: "a", 2: "b", 3: "c"}, {2: "b", 3: "x", 4: "d"}) == 0.5
    assert agreement({1: "a"}, {2: "a"}) == 0


def test_a_process_seen_too_few_times_is_not_said_to_grow() -> None:
    series = {"main 1": [1.0] * 4 + [2.0] * 4, "inference 2": [1.0, 2.0], "inference 3": [1.0] * 8}
    assert grown(series, limit=0.1) == ["main 1"]


def test_an_outcome_counts_cpu_time_per_document_stored_in_the_steady_part() -> None:
    outcome = Outcome(
        design="velox",
        documents=150,
        files=150,
        first_s=5.0,
        total_s=15.0,
        steady_per_s=10.0,
        cpu_s={"main": 1.0, "inference": 9.0},
        labels={},
    )
    assert outcome.cpu_ms_each == {"main": 10.0, "inference": 90.0}
    assert outcome.end_to_end_per_s == 10.0


def test_books_in_which_every_id_is_stored_once_have_no_problems() -> None:
    ledger = balanced()
    assert ledger.problems == []
    assert (ledger.stored, ledger.detections, ledger.read_again) == (2, 1, 1)


@pytest.mark.parametrize(
    ("ids", "documents", "problems"),
    [
        (["a", "b"], [document("a", 0)], ["stored is 1, not 2", "missing is 1, not 0"]),
        (["a", "b"], [document("a", 0), document("x", 1)], ["missing is 1, not 0", "strangers is 1, not 0"]),
        (
            ["a", "b"],
            [document("a", 0), document("b", 1), document("x", 1)],
            ["stored is 3, not 2", "strangers is 1, not 0", "duplicates is 1, not 0"],
        ),
        (["a"], [document("a", 0)], ["acknowledged is 1, not 2"]),
    ],
    ids=["one missing", "one under another id", "one twice", "one never acknowledged"],
)
def test_books_that_do_not_balance_say_where(
    ids: list[str], documents: list[dict[str, Any]], problems: list[str]
) -> None:
    assert account(2, ids, documents, dead_letters=0, files=0, read_again=0).problems == problems


def test_a_dead_letter_or_a_file_too_many_is_a_problem() -> None:
    documents = [document("a", 0, is_detection=True)]
    assert account(1, ["a"], documents, dead_letters=1, files=2, read_again=0).problems == [
        "dead_letters is 1, not 0",
        "files is 2, not 1",
    ]


def test_a_partition_must_be_committed_to_its_end_unless_it_is_empty() -> None:
    extents = {Partition("t", 0): Extent(0, 5), Partition("t", 1): Extent(0, 5), Partition("t", 2): Extent(0, 0)}
    assert uncommitted(extents, {Partition("t", 0): 5, Partition("t", 1): 4}) == ["t-1: committed 4, end 5"]
