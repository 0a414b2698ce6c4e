"""Records whose payloads are objects: what is put into the bucket, and what their keys lead to."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from velox.buckets import bucket
from velox.core.envelope import Codec
from velox.core.pointers import read_pointer, with_headers
from velox.errors import BadRecordError, SettingsError
from velox.models import numbered
from velox.models.numbered import NumberedModel
from velox.settings import Settings
from velox.sources.source import Item
from velox.tools.verify.objects import FromBucket, KeyedRecords
from velox.tools.verify.plan import Plan
from velox.tools.verify.premises import establish

MODEL = NumberedModel(Settings())


class Three:
    """A source of three payloads."""

    interval_s: float | None = None

    def __iter__(self) -> Iterator[Item]:
        return (Item(None, {}, payload) for payload in (b"one", b"two", b"three"))


@pytest.fixture
def user(tmp_path: Path) -> Settings:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/mine.jpg").write_bytes(b"mine")
    return Settings(codec=Codec.KEY, bucket_url=(tmp_path / "photos").as_uri(), sqlite_path=tmp_path / "v.db")


def what_comes(way: FromBucket, records: KeyedRecords, number: int) -> object:
    """What a consumer makes of a record: the payload, or why there is none."""
    store = bucket(way._premises.settings)
    assert store is not None
    store.open()
    value, headers = records.build(number)
    try:
        return store.get(with_headers(read_pointer(value), headers), most_bytes=10_000) or "empty"
    except BadRecordError as error:
        return error.reason.value


def predicted(payload: bytes, number: int) -> str:
    """What the model makes of a payload."""
    try:
        return "stored" if MODEL.decode(payload) == number else "another's"
    except BadRecordError as error:
        return error.reason.value


def test_each_key_leads_to_what_has_to_become_of_it_and_in_the_end_only_the_users_objects_are_there(
    user: Settings, tmp_path: Path
) -> None:
    way = FromBucket(establish(user, Plan(count=200, poison=0.5), "run", None), "run")
    records = way.records
    assert isinstance(records, KeyedRecords)
    with way:
        assert len(list((tmp_path / "photos/verify-run").iterdir())) == 200 + 3
        came = [what_comes(way, records, number) for number in range(200)]
    due = Counter(records.due(number) for number in range(200))
    assert 50 < due["stored"] < 150
    assert len(due) == 8, "every way to be bad"
    for number, (what, expected) in enumerate(zip(came, map(records.due, range(200)), strict=True)):
        if isinstance(what, bytes):
            assert what == records.payload(number)
        assert (predicted(what, number) if isinstance(what, bytes) else what) == expected
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["mine.jpg"]


def test_records_beyond_the_objects_name_them_again_with_the_same_label(user: Settings) -> None:
    records = FromBucket(establish(user, Plan(), "run", None), "run").records
    first, again = records.build(3)[0], records.build(3 + 1024)[0]
    assert first == again == b"verify-run/0003"
    assert records.payload(3 + 1024) == numbered.payload(3)
    assert records.label(3) == records.label(3 + 1024) == numbered.label(3)


def test_payloads_of_a_source_are_objects_as_well(user: Settings) -> None:
    plain = KeyedRecords("run", Codec.KEY, 0.0, Three(), place="a/verify-run")
    objects = dict(plain.objects(1000))
    numbers = (0, 1, 2, 3, 255, 256, 257, 1000)
    for number in numbers:
        assert objects[plain.build(number)[0].decode()] == plain.payload(number)
    assert [plain.twin(number) for number in numbers] == [0, 1, 2, 0, 0, 0, 1, 1]


def test_a_run_stays_in_the_part_of_the_bucket_that_is_the_users_and_consumers_read_no_more(user: Settings) -> None:
    told = user.model_copy(update={"bucket_url": "s3://photos/red", "buckets_allowed": ("photos/red/new",)})
    own = establish(told, Plan(), "run", None)
    assert own.settings.places_allowed == ("photos/red/verify-run",)
    assert own.changed["buckets_allowed"] == ("photos/red/verify-run",)
    assert own.settings.object_retry_s == 0


@pytest.mark.parametrize(
    ("changes", "plan", "why"),
    [
        ({"bucket_url": "memory:///"}, Plan(), "BUCKET_URL=memory:///: each process has memory of its own"),
        ({"source": "keys"}, Plan(own_model=True), "SOURCE=keys: it yields keys, and objects are made of payloads"),
        ({"source": "lines:x", "store": "all"}, Plan(consumers=0), "SOURCE=lines:x: it yields keys"),
    ],
)
def test_what_makes_no_objects_is_refused(user: Settings, changes: dict[str, str], plan: Plan, why: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(why)):
        plan.check(user.model_copy(update=changes))
    Plan().check(user.model_copy(update={"source": "keys"}))


def test_others_consumers_have_to_be_allowed_to_read_the_runs_objects(user: Settings) -> None:
    told = user.model_copy(update={"buckets_allowed": ("photos/red",), "source": "shapes", "store": "all"})
    premises = establish(told, Plan(), "run", None)
    narrow = premises.settings.model_copy(update={"buckets_allowed": ("photos/red",)})
    with pytest.raises(
        SettingsError, match=r"consumers may not read the objects of a run: .*BUCKETS_ALLOWED=photos/red"
    ):
        FromBucket(type(premises)(Plan(), narrow, {}, ("t",), own=True), "run")
