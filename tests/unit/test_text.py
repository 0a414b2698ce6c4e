"""What strangers wrote is shown as one harmless line of bounded length."""

import pytest

from velox.core.text import listed, printable, readable


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("x\n2026 - ERROR - LIE", r"x\n2026 - ERROR - LIE"),
        ("a\r\tb", r"a\r\tb"),
        ("\x1b[2J\x07", r"\x1b[2J\x07"),
        ("half a pair: \ud800", r"half a pair: \ud800"),
        ("line\u2028paragraph\u2029", r"line\u2028paragraph\u2029"),
        ("from the right: \u202e", r"from the right: \u202e"),
        ("\x00\x85", r"\x00\x85"),
    ],
)
def test_what_is_no_printable_character_is_written_out(hostile: str, shown: str) -> None:
    assert printable(hostile) == shown
    assert readable(hostile) == shown


@pytest.mark.parametrize("text", ["", "plain", "Grüße, 你好, 🙂", r"C:\new\table", 'it\'s "quoted"'])
def test_what_is_printable_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_what_is_not_there_is_a_dash_and_what_is_empty_is_not() -> None:
    assert (readable(None), readable(b""), readable("")) == ("–", "", "")


def test_bytes_that_are_no_text_are_written_out() -> None:
    assert readable("é".encode() + b"\xff\x00") == r"é\xff\x00"


def test_no_more_is_shown_than_allowed_and_how_much_there_was() -> None:
    assert readable("x" * 20, most=20) == "x" * 20
    assert readable("x" * 21, most=20) == "x" * 20 + "… (21 characters)"
    assert readable("\n" * 21, most=2) == r"\n\n" + "… (21 characters)"
    assert len(readable(b"y" * 1_000_000)) < 250


def test_of_many_names_some_are_listed_and_the_others_counted() -> None:
    assert listed([]) == ""
    assert listed(["a", "b", "c"], most=3) == "a, b, c"
    assert listed(["a", "b", "c", "d", "e"], most=4) == "a, b and 3 more"
