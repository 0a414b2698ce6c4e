"""What every bucket keeps to, wherever its objects are."""

import errno
import hashlib
import os
import sys
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from obstore.exceptions import GenericError, PermissionDeniedError

from tests.servers.proxy import TcpProxy
from tests.servers.s3 import S3Server
from velox.buckets import bucket as made
from velox.buckets.bucket import Bucket
from velox.core.envelope import Codec
from velox.errors import BadRecordError, BucketUnavailableError, ObjectDeniedError, Reason, SettingsError
from velox.records import Pointer
from velox.settings import Settings

MOST = 1_000_000
KEYS = ("a.jpg", "red/0001.jpg", "red/deep/er/0001.jpg", "a b+c%20d*?.jpg", "größe/日本.png", "..a", "x" * 200)


def a_folder(folder: Path) -> str:
    (folder / "photos").mkdir()
    return (folder / "photos").as_uri()


Told = dict[str, str]
"""Settings of one bucket."""


def in_memory(_folder: Path) -> str:
    return "memory:///"


EXAMPLES: dict[str, Callable[[Path], str]] = {"file": a_folder, "memory": in_memory}


def bucket_of(told: Told, **settings: object) -> Bucket:
    bucket = made(Settings(codec=Codec.KEY, **told, **settings))  # type: ignore[arg-type]  # any setting
    assert bucket is not None
    return bucket


def opened(url: str | Told, **settings: object) -> Bucket:
    bucket = bucket_of({"bucket_url": url} if isinstance(url, str) else url, **settings)
    bucket.open()
    return bucket


@pytest.fixture(params=[*EXAMPLES, "s3"])
def told(request: pytest.FixtureRequest, tmp_path: Path) -> Told:
    if request.param in EXAMPLES:
        return {"bucket_url": EXAMPLES[request.param](tmp_path)}
    server: S3Server = request.getfixturevalue("s3")
    return in_s3(server)


def in_s3(server: S3Server, *, port: int | None = None) -> Told:
    """A bucket of its own."""
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    server.make_bucket(name)
    return server.settings(name, port=port)


@pytest.fixture
def bucket(told: Told) -> Bucket:
    return opened(told)


def read(bucket: Bucket, key: str, *, most_bytes: int = MOST) -> bytes:
    return bucket.get(Pointer(key=key), most_bytes=most_bytes)


def refused(bucket: Bucket, pointer: Pointer, *, most_bytes: int = MOST) -> Reason:
    with pytest.raises(BadRecordError) as caught:
        bucket.get(pointer, most_bytes=most_bytes)
    assert caught.value.detail.isprintable()
    return caught.value.reason


@pytest.mark.parametrize("key", KEYS)
def test_what_was_put_is_got_and_listed_under_its_key(bucket: Bucket, key: str) -> None:
    payload = key.encode() * 1000
    pointer = bucket.put(key, payload)
    assert pointer == Pointer(
        key=key, bucket=bucket.name, size_bytes=len(payload), sha256=hashlib.sha256(payload).hexdigest()
    )
    assert bucket.get(pointer, most_bytes=MOST) == payload
    assert list(bucket.list()) == [Pointer(key=key, bucket=bucket.name, size_bytes=len(payload))]


def test_an_object_is_replaced_whole(bucket: Bucket) -> None:
    bucket.put("a", b"a long first version")
    bucket.put("a", b"second")
    assert read(bucket, "a") == b"second"


def test_an_empty_object_is_empty_bytes(bucket: Bucket) -> None:
    bucket.put("a", b"")
    assert read(bucket, "a") == b""


@pytest.mark.parametrize("key", ["nothing", "there/nothing", "there", "a.jpg/below", "y" * 300])
def test_what_is_not_there_is_missing_and_no_fault_of_the_bucket(bucket: Bucket, key: str) -> None:
    bucket.put("a.jpg", b"payload")
    bucket.put("there/a.jpg", b"payload")
    assert refused(bucket, Pointer(key=key)) == Reason.OBJECT_MISSING
    assert read(bucket, "a.jpg") == b"payload"


@pytest.mark.parametrize(
    ("size", "sha256", "is_right"),
    [
        (7, "", True),
        (6, "", False),
        (8, "", False),
        (None, hashlib.sha256(b"payload").hexdigest(), True),
        (None, hashlib.sha256(b"another").hexdigest(), False),
    ],
)
def test_an_object_is_what_its_pointer_promises(bucket: Bucket, size: int | None, sha256: str, is_right: bool) -> None:
    bucket.put("a", b"payload")
    pointer = Pointer(key="a", size_bytes=size, sha256=sha256)
    if is_right:
        assert bucket.get(pointer, most_bytes=MOST) == b"payload"
    else:
        assert refused(bucket, pointer) == Reason.CHECKSUM_MISMATCH


def test_a_large_object_is_refused_and_one_of_just_that_size_is_not(bucket: Bucket) -> None:
    bucket.put("a", bytes(1000))
    assert refused(bucket, Pointer(key="a"), most_bytes=999) == Reason.TOO_LARGE
    assert len(read(bucket, "a", most_bytes=1000)) == 1000


def test_another_bucket_and_what_is_not_allowed_is_forbidden(told: Told) -> None:
    name = Settings(bucket_url=told["bucket_url"]).bucket_name
    bucket = opened(told, buckets_allowed=(f"{name}/red",))
    bucket.put("red/a", b"payload")
    bucket.put("green/a", b"payload")
    assert read(bucket, "red/a") == b"payload"
    assert refused(bucket, Pointer(key="green/a")) == Reason.FORBIDDEN_POINTER
    assert refused(bucket, Pointer(key="red/a", bucket="elsewhere")) == Reason.FORBIDDEN_POINTER


@pytest.mark.parametrize("key", ["../a", "a/../b", "/a", "", "a//b", "a\x00b"])
def test_no_object_has_a_key_that_leads_elsewhere(bucket: Bucket, key: str) -> None:
    with pytest.raises(BadRecordError, match="forbidden_pointer"):
        bucket.put(key, b"payload")
    with pytest.raises(BadRecordError, match="forbidden_pointer"):
        bucket.delete([key])


def test_a_prefix_lists_what_is_below_it(bucket: Bucket) -> None:
    for key in ("red/1", "red/2", "redder/3", "green/red/4"):
        bucket.put(key, b"payload")
    assert {pointer.key for pointer in bucket.list("red")} == {"red/1", "red/2"}
    assert len(list(bucket.list())) == 4
    assert list(bucket.list("blue")) == []


def test_what_was_deleted_is_gone_and_deleting_it_again_is_no_error(bucket: Bucket) -> None:
    bucket.put("a", b"payload")
    bucket.put("b", b"payload")
    bucket.delete(["a", "nothing"])
    bucket.delete(["a"])
    assert refused(bucket, Pointer(key="a")) == Reason.OBJECT_MISSING
    assert read(bucket, "b") == b"payload"


def test_a_link_is_a_url(bucket: Bucket) -> None:
    bucket.put("red/a b.jpg", b"payload")
    assert bucket.link("red/a b.jpg", for_s=60).partition("?")[0].endswith("red/a%20b.jpg")


def test_many_threads_may_use_it(bucket: Bucket) -> None:
    for number in range(50):
        bucket.put(f"{number}", b"%d" % number * 1000)
    wrong: list[int] = []

    def read_all() -> None:
        wrong.extend(n for n in range(50) if read(bucket, f"{n}") != b"%d" % n * 1000)

    threads = [threading.Thread(target=read_all) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_it_is_closed_twice_and_without_being_opened_and_answers_no_more(told: Told) -> None:
    bucket = bucket_of(told)
    bucket.close()
    bucket.open()
    bucket.close()
    bucket.close()
    with pytest.raises(BucketUnavailableError):
        read(bucket, "a")


def test_a_folder_that_goes_away_is_an_outage_and_comes_back_by_itself(tmp_path: Path) -> None:
    bucket = opened(a_folder(tmp_path))
    bucket.put("a", b"payload")
    (tmp_path / "photos").rename(tmp_path / "elsewhere")
    for use in (
        lambda: read(bucket, "a"),
        lambda: read(bucket, "nothing"),
        lambda: bucket.put("b", b"payload"),
        lambda: list(bucket.list()),
        bucket.open,
    ):
        with pytest.raises(BucketUnavailableError, match="photos cannot be read: No such file or directory"):
            use()
    assert not (tmp_path / "photos").exists(), "it is not made anew"
    (tmp_path / "elsewhere").rename(tmp_path / "photos")
    bucket.open()
    assert read(bucket, "a") == b"payload"


def test_a_folder_that_comes_back_just_then_makes_no_object_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gone when the object is read, back when the folder is looked at."""
    bucket = opened(a_folder(tmp_path))
    bucket.put("a", b"payload")
    photos, elsewhere = tmp_path / "photos", tmp_path / "elsewhere"
    photos.rename(elsewhere)
    look = os.scandir

    def return_first(path: str) -> object:
        if elsewhere.exists():
            elsewhere.rename(photos)
        return look(path)

    monkeypatch.setattr(os, "scandir", return_first)
    assert read(bucket, "a") == b"payload"


def test_a_folder_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    bucket = made(Settings(codec=Codec.KEY, bucket_url=(tmp_path / "photos").as_uri()))
    assert bucket is not None
    for _ in range(2):
        with pytest.raises(BucketUnavailableError, match="photos"):
            bucket.open()
    a_folder(tmp_path)
    bucket.open()
    assert list(bucket.list()) == []


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "photos").write_bytes(b"")
    bucket = made(Settings(codec=Codec.KEY, bucket_url=(tmp_path / "photos").as_uri()))
    assert bucket is not None
    with pytest.raises(BucketUnavailableError, match="Not a directory"):
        bucket.open()


def test_a_name_that_the_library_keeps_for_itself_costs_only_its_record(tmp_path: Path) -> None:
    bucket = opened(a_folder(tmp_path))
    (tmp_path / "photos" / "a#1").write_bytes(b"payload")
    assert refused(bucket, Pointer(key="a#1")) == Reason.FORBIDDEN_POINTER


def test_no_object_lies_below_another(tmp_path: Path) -> None:
    bucket = opened(a_folder(tmp_path))
    bucket.put("a", b"payload")
    with pytest.raises(BadRecordError, match="forbidden_pointer"):
        bucket.put("a/b", b"payload")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ENOSPC, errno.EMFILE, errno.ESTALE])
def test_what_the_operating_system_refuses_is_the_buckets_fault_but_for_a_file_that_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """As the library says it: in words, with the number at the end. Root, who runs this, is refused nothing."""
    bucket = opened(a_folder(tmp_path))

    class Refusing:
        def get(self, key: str) -> None:
            raise GenericError(
                f"Generic LocalFileSystem error: Unable to open file {key}: (os error {number})\n\nDebug"
            )

        def put(self, key: str, _payload: bytes) -> None:
            self.get(key)

    monkeypatch.setattr(bucket, "_client", Refusing())
    with pytest.raises(BadRecordError if number == errno.EACCES else BucketUnavailableError):
        read(bucket, "a")
    with pytest.raises(BucketUnavailableError):
        bucket.put("a", b"payload")


def test_a_link_that_leads_in_circles_is_missing(tmp_path: Path) -> None:
    bucket = opened(a_folder(tmp_path))
    (tmp_path / "photos" / "a").symlink_to("a")
    assert refused(bucket, Pointer(key="a")) == Reason.OBJECT_MISSING


def test_a_signed_link_of_s3_lets_everybody_read_and_no_other(s3: S3Server) -> None:
    bucket = opened(in_s3(s3))
    bucket.put("red/a b.jpg", b"payload")
    link = bucket.link("red/a b.jpg", for_s=60)
    assert httpx2.get(link).content == b"payload"
    assert httpx2.get(link.partition("?")[0]).status_code == httpx2.codes.FORBIDDEN


def test_of_a_part_of_a_bucket_nothing_else_is_read(s3: S3Server) -> None:
    told = in_s3(s3)
    opened(told).put("red/a", b"payload")
    opened(told).put("green/a", b"payload")
    bucket = opened(told | {"bucket_url": told["bucket_url"] + "/red/"})
    assert read(bucket, "red/a") == b"payload", "a key is the whole key"
    assert refused(bucket, Pointer(key="green/a")) == Reason.FORBIDDEN_POINTER


@pytest.mark.parametrize(
    ("wrong", "told_so"),
    [
        ({"bucket_url": "s3://nobodys"}, "NoSuchBucket: .*; create it, or correct BUCKET_URL"),
        ({"aws_secret_access_key": "wrong"}, "SignatureDoesNotMatch: .*; correct AWS_ACCESS_KEY_ID and AWS_SECRET"),
        ({"aws_access_key_id": "nobody"}, "XAdminUserNotFound: .*; correct AWS_ACCESS_KEY_ID"),
        ({"s3_endpoint": "http://127.0.0.1:9"}, "HTTP error"),
    ],
)
def test_a_wrong_address_or_secret_is_an_outage_that_says_what_to_correct(
    s3: S3Server, wrong: Told, told_so: str
) -> None:
    told = in_s3(s3) | {"object_timeout_s": "1"}
    opened(told).put("a", b"payload")
    bucket = bucket_of(told | wrong)
    for _ in range(2):
        with pytest.raises(BucketUnavailableError, match=told_so) as caught:
            bucket.open()
        assert "\n" not in str(caught.value)
        assert not {told["aws_secret_access_key"], "wrong"} & set(str(caught.value).split())


def test_secrets_are_those_of_the_file_that_amazons_tools_share(s3: S3Server, tmp_path: Path) -> None:
    told = in_s3(s3)
    opened(told).put("a", b"payload")
    file = tmp_path / "credentials"
    file.write_text("[other]\naws_access_key_id = a\n")
    key, secret = told.pop("aws_access_key_id"), told.pop("aws_secret_access_key")
    told |= {"aws_profile": "tests", "aws_shared_credentials_file": str(file)}
    file.write_text(f"[tests]\naws_access_key_id = {key}\naws_secret_access_key = outdated\n")
    bucket = bucket_of(told)
    with pytest.raises(BucketUnavailableError, match="SignatureDoesNotMatch"):
        bucket.open()
    file.write_text(f"[tests]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")
    bucket.open()
    assert read(bucket, "a") == b"payload", "new ones are taken when the old ones fail"


def test_a_server_that_goes_away_is_an_outage_and_comes_back_by_itself(s3: S3Server) -> None:
    with TcpProxy(s3.port) as proxy:
        bucket = opened(in_s3(s3, port=proxy.port), object_timeout_s=1)
        bucket.put("a", b"payload")
        for take_down in (proxy.block, proxy.hang):
            take_down()
            for use in (lambda: read(bucket, "a"), lambda: bucket.put("b", b"payload"), bucket.open):
                with pytest.raises(BucketUnavailableError):
                    use()
            proxy.unblock()
            bucket.open()
            assert read(bucket, "a") == b"payload"


def test_an_object_that_we_may_not_read_is_told_from_one_that_is_not_there(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As S3 says it to who has a policy; the server of the tests has one user, who may do everything."""
    bucket = opened(in_s3(s3))

    class Denying:
        def get(self, key: str) -> None:
            answer = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
            raise PermissionDeniedError(f"path {key}: Server returned non-2xx status code: 403 Forbidden: {answer}")

        def list(self, *_: object, **__: object) -> list[object]:
            return []

    monkeypatch.setattr(bucket, "_client", Denying())
    with pytest.raises(ObjectDeniedError, match="AccessDenied: Access Denied; let this user read it"):
        read(bucket, "a")


def test_that_there_are_no_credentials_is_said_with_the_remedy(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the library says it where no machine answers that would know a role."""
    bucket = opened(in_s3(s3))

    class Asking:
        def get(self, _key: str) -> None:
            raise GenericError("Error performing PUT http://169.254.169.254/latest/api/token in 5 s: connect error")

    monkeypatch.setattr(bucket, "_client", Asking())
    with pytest.raises(BucketUnavailableError, match="no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        read(bucket, "a")


@pytest.mark.parametrize("url", ["", "memory:///"])
def test_payloads_in_the_records_need_no_bucket(url: str) -> None:
    assert made(Settings(codec=Codec.RAW, bucket_url=url)) is None


def test_that_the_library_is_not_installed_is_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("store", "folder", "place", "s3"):
        monkeypatch.delitem(sys.modules, f"velox.buckets.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.setitem(sys.modules, "obstore.exceptions", None)
    with pytest.raises(SettingsError, match=r"BUCKET_URL=memory:///: .*pip install 'velox\[objects\]'"):
        made(Settings(codec=Codec.KEY, bucket_url="memory:///"))
