"""Values that are JSON: what is in them is found, and what they could cost is bounded."""

import json
import time
import tracemalloc
from base64 import b64encode
from collections.abc import Callable

import pytest

from velox.core.envelope import PARSERS, Codec, Taken, wrap
from velox.core.json_values import MAX_METADATA_BYTES, JsonForm
from velox.errors import BadRecordError, Reason, SettingsError

TEXT = JsonForm()
BASE64 = JsonForm(field="image", payload="base64")
LONG = "so good " * 20_000
"""A text longer than what is read whole."""


def take(value: bytes | str, form: JsonForm = TEXT) -> Taken:
    return PARSERS[Codec.JSON](value.encode() if isinstance(value, str) else value, form)


def refusal(value: bytes | str, form: JsonForm = TEXT) -> BadRecordError:
    try:
        problem = take(value, form).problem
    except BadRecordError as error:
        return error
    assert problem is not None
    return problem


@pytest.mark.parametrize("text", ["a lovely lamp", "schön 😀", LONG, LONG + "😀", '\\ " \n\t\u0000'])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_the_named_field_is_the_payload_in_utf_8(text: str, ascii_only: bool) -> None:
    value = json.dumps({"created_at": "now", "text": text, "n": [1, {"a": None}]}, ensure_ascii=ascii_only)
    assert take(value) == Taken(
        {"created_at": "now", "text": text, "n": [1, {"a": None}]}, text.encode(), is_apart=True
    )


@pytest.mark.parametrize("payload", [b"\xff\xd8 jpeg", b"\x00" * 200_000], ids=["short", "long"])
def test_base64_stands_for_bytes(payload: bytes) -> None:
    value = json.dumps({"camera": 7, "image": b64encode(payload).decode()})
    assert take(value, BASE64).payload == payload


@pytest.mark.parametrize("form", [TEXT, BASE64, JsonForm(field="", payload="base64")])
@pytest.mark.parametrize("payload", [b"a text", ("ü" * 100_000).encode()], ids=["short", "long"])
def test_what_is_wrapped_is_taken_out_again(form: JsonForm, payload: bytes) -> None:
    taken = take(wrap({"label": "POSITIVE", "timestamp": 1.5}, payload, Codec.JSON, form), form)
    assert taken.payload == payload
    assert (taken.metadata["label"], taken.metadata["timestamp"]) == ("POSITIVE", 1.5)


def test_what_is_no_text_is_not_wrapped_as_one() -> None:
    with pytest.raises(SettingsError, match="set it to base64"):
        wrap({}, b"\xff\xd8", Codec.JSON, TEXT)


@pytest.mark.parametrize("pad", ["", LONG], ids=["short", "long"])
def test_of_fields_with_one_name_the_last_counts(pad: str) -> None:
    assert take(f'{{"text": "{pad}first", "text": "{pad}last"}}').payload == f"{pad}last".encode()


@pytest.mark.parametrize("text", ["short", LONG], ids=["short", "long"])
def test_white_space_and_a_byte_order_mark_do_no_harm(text: str) -> None:
    value = f'\ufeff \n{{ "a" :\t1 , "text" : "{text}" \r\n}} \n'
    assert take(value).payload == text.encode()


PAD = " " * MAX_METADATA_BYTES
"""Makes a value long, which is read in another way."""


@pytest.mark.parametrize("pad", ["", PAD], ids=["short", "long"])
@pytest.mark.parametrize(
    "value",
    [
        "",
        "nope",
        '"text"',
        "[]",
        "null",
        "{",
        '{"text"',
        '{"text" "a"}',
        '{"text": }',
        '{"text": "a"',
        '{"text": "a",}',
        '{"text": "a" "b"}',
        '{"text": "a"} more',
        "{'text': 'a'}",
        '{text: "a"}',
        '{"text": "\\x"}',
        '{"text": "a\nb"}',
        '{"n": 1' + "0" * 5000 + "}",
        '{"a":' * 13_000,
    ],
    ids=lambda value: value[:16],
)
def test_what_is_no_json_object_is_a_bad_envelope(value: str, pad: str) -> None:
    assert refusal(pad + value).reason is Reason.BAD_ENVELOPE


@pytest.mark.parametrize("value", [b'{"text": "\xff\xfe"}', '{"text": "a"}'.encode("utf-16"), b"\xff\xd8\xff"])
def test_what_is_not_utf_8_is_a_bad_envelope(value: bytes) -> None:
    assert refusal(value).reason is Reason.BAD_ENVELOPE


@pytest.mark.parametrize("pad", ["", PAD], ids=["short", "long"])
@pytest.mark.parametrize(
    ("value", "form", "said"),
    [
        ("{}", TEXT, "no field 'text'; see JSON_FIELD"),
        ('{"Text": "a"}', TEXT, "no field 'text'"),
        ('{"text": null}', TEXT, "no field 'text'"),
        ('{"text": 7}', TEXT, "a JSON int, not a text"),
        ('{"text": ["a"]}', TEXT, "a JSON list, not a text"),
        ('{"text": "\\ud800"}', TEXT, "no text that UTF-8 can hold"),
        ('{"image": "a"}', BASE64, "no base64"),
        ('{"image": "YQ=="}', TEXT, "no field 'text'"),
        ('{"image": "Y Q=="}', BASE64, "no base64"),
        ('{"image": "ü==="}', BASE64, "no base64"),
    ],
)
def test_a_payload_that_is_missing_or_no_such_thing_is_bad_metadata(
    value: str, form: JsonForm, said: str, pad: str
) -> None:
    error = refusal(pad + value, form)
    assert error.reason is Reason.BAD_METADATA
    assert said in error.detail
    assert len(error.detail) < 300


@pytest.mark.parametrize("text", ["", LONG], ids=["short", "long"])
def test_what_is_beside_the_payload_is_bounded(text: str) -> None:
    def value(others: int) -> str:
        return f'{{"a":"{"x" * others}","text":"{text}"}}'

    around = len('"a":"",') + len('"text":')
    assert take(value(MAX_METADATA_BYTES - around - len('{"",}'))).payload == text.encode()
    error = refusal(value(MAX_METADATA_BYTES + 1))
    assert error.reason is Reason.BAD_ENVELOPE
    assert "more than 65536 characters beside its payload" in error.detail


SIZE = 8_000_000
BOMBS: dict[str, Callable[[], str]] = {
    "numbers": lambda: '{"a":[' + "0," * (SIZE // 2) + "0]}",
    "lists": lambda: '{"a":[' + "[]," * (SIZE // 3) + "[]]}",
    "depth": lambda: '{"a":' + "[" * SIZE,
    "members": lambda: "{" + '"":0,' * (SIZE // 5) + '"":0}',
    "names": lambda: "{" + ",".join(f'"{n}":0' for n in range(SIZE // 11)) + "}",
    "payloads": lambda: "{" + '"text":"",' * (SIZE // 10) + '"text":""}',
    "payloads that are none": lambda: "{" + '"text":[],' * (SIZE // 10) + '"text":""}',
    "behind a payload": lambda: '{"text":"a","a":[' + "0," * (SIZE // 2) + "0]}",
    "a name": lambda: '{"' + "x" * SIZE + '":0}',
    "spaces": lambda: "{" + " " * SIZE,
    "no end": lambda: '{"text":"' + "x" * SIZE,
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_costs_a_few_times_its_size_and_no_time(bomb: str) -> None:
    value = BOMBS[bomb]().encode()
    started = time.process_time()
    assert refusal(value).reason is Reason.BAD_ENVELOPE
    assert time.process_time() - started < 2
    tracemalloc.start()
    try:
        refusal(value)
        assert tracemalloc.get_traced_memory()[1] < 3 * len(value)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("said", "identity"),
    [('"r-7"', "r-7"), ("17", "17"), ("true", ""), ("null", ""), ('["r"]', ""), ("1.5", ""), ('"../x"', "../x")],
)
def test_the_id_is_the_text_or_number_in_its_field(said: str, identity: str) -> None:
    form = JsonForm(id_field="request_id")
    assert take(f'{{"request_id": {said}, "text": "a"}}', form).id == identity
    assert take(f'{{"request_id": {said}}}', form).id == identity, "also of one that has no payload"
    assert take(f'{{"request_id": {said}, "text": "a"}}').id == ""
