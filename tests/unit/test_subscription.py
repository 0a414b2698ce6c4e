"""Which topics KAFKA_TOPIC means: a name, several, ranges of names, or a pattern."""

import pytest

from velox.core.subscription import MOST_TOPICS, expand, subscription


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("image_data", ("image_data",)),
        ("a,b", ("a", "b")),
        (" b , a ", ("b", "a")),
        ("camera_{1..3}", ("camera_1", "camera_2", "camera_3")),
        ("camera_{08..10}", ("camera_08", "camera_09", "camera_10")),
        ("{1..2}.raw,other", ("1.raw", "2.raw", "other")),
        ("camera_{7..7}", ("camera_7",)),
    ],
)
def test_names_are_written_out_in_their_order(text: str, names: tuple[str, ...]) -> None:
    found = subscription(text)
    assert (found.names, found.pattern) == (names, None)
    assert found.is_one == (len(names) == 1)
    assert all(found.takes(name) for name in names)
    assert not found.takes("another")
    assert found.among(["another", *reversed(names)]) == names


def test_names_are_shown_as_they_were_written() -> None:
    assert str(subscription("camera_{1..20}")) == "camera_{1..20}"
    assert str(subscription("a, b")) == "a,b"


def test_a_pattern_takes_what_it_matches_numbers_in_their_order() -> None:
    cameras = subscription(r"^camera_\d+$")
    assert (cameras.names, cameras.pattern, cameras.is_one) == ((), r"^camera_\d+$", False)
    there = ["camera_10", "camera_2", "camera_x", "camera_1", "my_camera_1", "camera_1.dlq"]
    assert cameras.among(there) == ("camera_1", "camera_2", "camera_10")


def test_a_pattern_without_an_end_takes_whatever_begins_so() -> None:
    assert subscription("^camera_").takes("camera_1.dlq")


def test_no_pattern_takes_kafkas_own_topics() -> None:
    everything = subscription("^.*")
    assert everything.takes("image_data")
    assert not everything.takes("__consumer_offsets")


def test_a_comma_or_a_brace_within_a_pattern_is_the_patterns() -> None:
    assert subscription("^camera_[0-9]{1,2}$").among(["camera_1", "camera_12", "camera_123"]) == (
        "camera_1",
        "camera_12",
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("not/a/topic", "is no name that Kafka takes"),
        ("", "is no name that Kafka takes"),
        ("a,not/one", "not/one is no name that Kafka takes"),
        ("a,^b", r"\^b is no name that Kafka takes"),
        ("a,b,a", "names a twice; once is enough"),
        ("camera_{1..3},camera_2", "names camera_2 twice"),
        ("camera_{3..1}", r"\{3..1\} is no range: write the smaller number first"),
        (f"camera_{{1..{MOST_TOPICS + 1}}}", f"at most {MOST_TOPICS} topics in all"),
        (f"a{{1..{MOST_TOPICS}}},b{{1..2}}", f"at most {MOST_TOPICS} topics in all"),
        ("camera_{a..b}", "is no name that Kafka takes"),
        ("^camera_(", "is no pattern: missing \\), unterminated subpattern"),
    ],
)
def test_what_means_no_topic_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        subscription(text)


def test_where_names_are_wanted_a_pattern_is_refused() -> None:
    assert expand("camera_{1..2}") == ("camera_1", "camera_2")
    with pytest.raises(ValueError, match=r"is a pattern, and names are wanted: write camera_1,camera_2 or"):
        expand("^camera_")
