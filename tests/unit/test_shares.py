"""Which version answers a key: the same one, roughly by share, and with few changes when shares change."""

from collections import Counter

import pytest

from velox.core.shares import Shares, split

KEYS = [f"key-{number}".encode() for number in range(10_000)]


def test_keys_are_divided_by_share() -> None:
    shares = Shares({"main": 70, "v2": 20, "v3": 10})

    counted = Counter(map(shares.choose, KEYS))

    assert counted["v2"] == pytest.approx(2000, abs=200)
    assert counted["v3"] == pytest.approx(1000, abs=150)


def test_the_order_in_which_versions_are_named_changes_nothing() -> None:
    one, other = Shares({"main": 50, "v2": 50}), Shares({"v2": 50, "main": 50})

    assert [*map(one.choose, KEYS)] == [*map(other.choose, KEYS)]


def test_a_larger_share_moves_only_keys_to_its_version_and_no_more_than_it_grew_by() -> None:
    before, after = Shares({"main": 90, "v2": 10}), Shares({"main": 80, "v2": 20})

    moved = [(before.choose(key), after.choose(key)) for key in KEYS if before.choose(key) != after.choose(key)]

    assert set(moved) == {("main", "v2")}
    assert len(moved) == pytest.approx(1000, abs=150)


def test_a_version_without_a_share_answers_nothing() -> None:
    assert Counter(map(Shares({"main": 0, "v2": 100}).choose, KEYS)) == {"v2": len(KEYS)}


def test_the_default_has_what_the_others_leave() -> None:
    assert split({"main": 0, "v2": 12.5}, "main") == {"main": 87.5, "v2": 12.5}


@pytest.mark.parametrize("shares", [{"v2": -1}, {"v2": 101}, {"v2": 60, "v3": 41}, {"v2": float("nan")}])
def test_shares_beyond_the_whole_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"percentage|together"):
        split(shares, "main")
