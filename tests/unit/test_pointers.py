"""What a value says of where its payload is, and what no bucket is ever asked for."""

import json
import tracemalloc

import pytest

from velox.core.pointers import (
    MAX_POINTER_BYTES,
    SHA256_HEADER,
    SIZE_HEADER,
    check,
    read_claim,
    read_pointer,
    with_headers,
)
from velox.errors import BadRecordError, Reason
from velox.records import Pointer

SHA = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def refused(value: bytes) -> BadRecordError:
    with pytest.raises(BadRecordError) as caught:
        read_pointer(value)
    return caught.value


@pytest.mark.parametrize(
    "key",
    [
        *("warehouse/0001.jpg", "a", "a b.jpg", "größe/日本.png", "a%20b+c", "a..b", "..a/b..", "...", "[1]", "42"),
        *("\u00a0", "x" * 1024, "~/a", "a\\b", "a#1", "http://example/a"[7:]),
    ],
)
def test_a_value_that_is_no_json_object_is_a_key(key: str) -> None:
    assert read_pointer(key.encode()) == Pointer(key=key)


def test_a_json_object_names_key_bucket_size_and_checksum() -> None:
    value = json.dumps({"key": "a/b.jpg", "bucket": "photos", "size": 7, "sha256": SHA.upper(), "etag": [1]})
    assert read_pointer(value.encode()) == Pointer(key="a/b.jpg", bucket="photos", size_bytes=7, sha256=SHA)
    assert read_pointer(b'{"key": "a"}') == Pointer(key="a")
    assert read_pointer(b'{"key": "a", "bucket": null, "size": null, "sha256": null}') == Pointer(key="a")
    assert read_pointer(b'{"key": "a", "size": 0}') == Pointer(key="a", size_bytes=0)


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("", "empty"),
        ("/etc/passwd", "begin with /"),
        ("../secret", "no .."),
        ("a/../../b", "no .."),
        ("a/..", "no .."),
        ("./a", "no ."),
        ("a//b", "no empty part"),
        ("a/", "no empty part"),
        ("a\x00b", "control"),
        ("a\nb", "control"),
        ("a\x9fb", "control"),
        ("x" * 1025, "1024 bytes"),
        ("é" * 513, "1024 bytes"),
    ],
)
def test_a_key_that_could_lead_elsewhere_is_forbidden(key: str, problem: str) -> None:
    plain = refused(key.encode())
    assert plain.reason == Reason.FORBIDDEN_POINTER
    assert problem in plain.detail
    assert plain.detail.isprintable()
    assert refused(json.dumps({"key": key}).encode()).reason == Reason.FORBIDDEN_POINTER


def test_half_of_a_surrogate_pair_is_no_key() -> None:
    assert refused(b'{"key": "a\\ud800"}').reason == Reason.FORBIDDEN_POINTER


@pytest.mark.parametrize(
    "value",
    [
        b"\xff\xfe",
        b"{",
        b"{}",
        b'{"Records": []}',
        b'{"key": 7}',
        b'{"key": "a", "bucket": 7}',
        b'{"key": "a", "size": "7"}',
        b'{"key": "a", "size": true}',
        b'{"key": "a", "size": -1}',
        b'{"key": "a", "size": 1.5}',
        b'{"key": "a", "sha256": "abc"}',
        b'{"key": "a", "sha256": ["' + SHA.encode() + b'"]}',
        b'{"key": ' + b"[" * 50_000,
    ],
)
def test_what_is_neither_a_key_nor_such_an_object_is_bad_metadata(value: bytes) -> None:
    error = refused(value)
    assert error.reason == Reason.BAD_METADATA
    assert error.detail.isprintable()


def test_a_long_value_is_refused_before_it_is_read() -> None:
    value = b'{"a": [' + b"[]," * 1_000_000 + b'0], "key": "a"}'
    tracemalloc.start()
    try:
        assert refused(value).reason == Reason.BAD_METADATA
        assert tracemalloc.get_traced_memory()[1] < MAX_POINTER_BYTES
    finally:
        tracemalloc.stop()


def allows(key: str, *allowed: str, bucket: str = "") -> bool:
    try:
        check(Pointer(key=key, bucket=bucket), bucket="photos", allowed=allowed)
    except BadRecordError as error:
        assert error.reason == Reason.FORBIDDEN_POINTER
        return False
    return True


def test_everything_in_the_bucket_may_be_read_unless_places_are_named() -> None:
    assert allows("a/b.jpg")
    assert allows("a/b.jpg", bucket="photos")
    assert not allows("a/b.jpg", bucket="secrets")


@pytest.mark.parametrize(
    ("key", "is_allowed"),
    [("red/1.jpg", True), ("red/a/1.jpg", True), ("redder/1.jpg", False), ("red", False), ("green/1.jpg", True)],
)
def test_a_place_is_whole_parts_of_a_key(key: str, is_allowed: bool) -> None:
    assert allows(key, "photos/red", "photos/green/") == is_allowed
    assert allows(key, "photos")


def test_headers_complete_what_a_key_says_of_its_object() -> None:
    headers = [("other", b"1"), (SIZE_HEADER, b"7"), (SHA256_HEADER, b"AB" * 32)]
    assert with_headers(Pointer(key="a"), headers) == Pointer(key="a", size_bytes=7, sha256="ab" * 32)
    said = Pointer(key="a", size_bytes=8, sha256="cd" * 32)
    assert with_headers(said, headers) == said, "the value counts more"
    assert with_headers(Pointer(key="a"), []) == Pointer(key="a")


@pytest.mark.parametrize(
    ("name", "content"),
    [(SIZE_HEADER, b"-1"), (SIZE_HEADER, b""), (SIZE_HEADER, None), (SIZE_HEADER, b"9" * 30), (SHA256_HEADER, b"\xff")],
)
def test_a_header_that_says_it_wrongly_costs_its_record(name: str, content: bytes | None) -> None:
    with pytest.raises(BadRecordError, match=f"bad_metadata: {name} is no"):
        with_headers(Pointer(key="a"), [(name, content)])


def notification(name: str, key: str, **more: object) -> bytes:
    about = {"bucket": {"name": "photos"}, "object": {"key": key, "size": 7, "eTag": "ab", **more}}
    return json.dumps({"Records": [{"eventSource": "aws:s3", "eventName": name, "s3": about}]}).encode()


@pytest.mark.parametrize("name", ["ObjectCreated:Put", "s3:ObjectCreated:CompleteMultipartUpload"])
def test_a_notification_of_s3_points_to_the_new_object(name: str) -> None:
    expected = Pointer(key="red/a b+ü.jpg", bucket="photos", size_bytes=7)
    assert read_pointer(notification(name, "red/a+b%2B%C3%BC.jpg")) == expected


@pytest.mark.parametrize(
    "value",
    [
        notification("ObjectRemoved:Delete", "a"),
        notification("s3:ObjectRestore:Post", "a"),
        b'{"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "photos"}',
    ],
)
def test_a_notification_of_something_else_tells_of_no_object(value: bytes) -> None:
    with pytest.raises(BadRecordError) as caught:
        read_pointer(value)
    assert caught.value.reason is Reason.NO_OBJECT
    assert not caught.value.reason.leaves_letter


@pytest.mark.parametrize(
    "value",
    [
        b'{"Records": 3}',
        b'{"Records": [{}]}',
        b'{"Records": [{}, {}]}',
        b'{"Records": {"a": 1}}',
        b'{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "a"}, "object": {"key": 3}}}]}',
        notification("ObjectCreated:Put", "%ff"),
        notification("ObjectCreated:Put", "a", size="large"),
    ],
)
def test_a_notification_that_says_it_otherwise_is_bad(value: bytes) -> None:
    with pytest.raises(BadRecordError, match="bad_metadata"):
        read_pointer(value)


def test_a_notification_of_several_objects_is_bad_and_says_what_to_do() -> None:
    one = json.loads(notification("ObjectCreated:Put", "a"))["Records"]
    with pytest.raises(
        BadRecordError, match="names 2 objects, and a record has one result: publish one for each"
    ) as bad:
        read_pointer(json.dumps({"Records": one * 2}).encode())
    assert bad.value.reason is Reason.BAD_METADATA


def test_a_notification_leads_nowhere_else_either() -> None:
    with pytest.raises(BadRecordError, match="forbidden_pointer"):
        read_pointer(notification("ObjectCreated:Put", "red%2F..%2F..%2Fsecret"))


def test_a_claim_points_to_a_payload_as_a_value_would() -> None:
    said = {"key": "claims/1", "bucket": "photos", "size": 7, "sha256": "AB" * 32, "more": 1}
    assert read_claim(said) == Pointer(key="claims/1", bucket="photos", size_bytes=7, sha256="ab" * 32)


@pytest.mark.parametrize("said", [None, "claims/1", [], {}, {"key": 3}, {"key": "a", "size": -1}])
def test_a_claim_that_is_none_is_bad_metadata(said: object) -> None:
    with pytest.raises(BadRecordError, match="bad_metadata"):
        read_claim(said)


def test_a_claim_leads_nowhere_else() -> None:
    with pytest.raises(BadRecordError, match="forbidden_pointer"):
        read_claim({"key": "../secret"})
