"""What the model for texts says, of what, and for how long."""

import time
from itertools import islice

import pytest

from velox.errors import BadRecordError, ModelError, Reason
from velox.models import lexicon_sentiment
from velox.models.lexicon_sentiment import LexiconSentiment
from velox.records import Prediction
from velox.settings import Settings
from velox.sources.reviews import ReviewsSource

MOST = 5000


@pytest.fixture(scope="module")
def model() -> LexiconSentiment:
    made = LexiconSentiment(Settings(max_text_characters=MOST))
    made.load("cpu")
    return made


def judge(model: LexiconSentiment, text: str) -> Prediction:
    (prediction,) = model.predict([model.decode(text.encode())])
    return prediction


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("I love this lamp, it is wonderful!", "POSITIVE"),
        ("A horrible waste of money.", "NEGATIVE"),
        ("This is not good.", "NEGATIVE"),
        ("The box was nice, but the product is terrible.", "NEGATIVE"),
        ("😀", "POSITIVE"),
    ],
)
def test_an_opinion_is_recognised(model: LexiconSentiment, text: str, label: str) -> None:
    prediction = judge(model, text)
    assert prediction.label == label
    assert 0.5 < prediction.confidence <= 1
    assert prediction.scores[0] == (label, prediction.confidence)
    assert {name for name, _ in prediction.scores} == {"POSITIVE", "NEGATIVE"}
    assert sum(score for _, score in prediction.scores) == pytest.approx(1)


def test_a_text_without_an_opinion_is_as_likely_one_as_the_other(model: LexiconSentiment) -> None:
    assert judge(model, "The box is blue.") == Prediction("POSITIVE", 0.5, (("POSITIVE", 0.5), ("NEGATIVE", 0.5)))


def test_most_reviews_that_are_made_up_are_judged_as_they_were_meant(model: LexiconSentiment) -> None:
    reviews = list(islice(ReviewsSource(Settings()), 500))
    right = sum(judge(model, item.payload.decode()).label == item.metadata["label"] for item in reviews)
    assert 0.9 < right / len(reviews) < 1


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\xff\xd8\xff", Reason.UNDECODABLE),
        (b" \n", Reason.EMPTY),
        (b"a" * (MOST + 1), Reason.TOO_LARGE),
        (b"a" * 10_000_000, Reason.TOO_LARGE),
    ],
    ids=["not utf-8", "blank", "long", "huge"],
)
def test_what_is_no_text_or_too_long_a_one_is_a_bad_record(
    model: LexiconSentiment, payload: bytes, reason: Reason
) -> None:
    with pytest.raises(BadRecordError) as refused:
        model.decode(payload)
    assert refused.value.reason is reason


def test_the_longest_text_that_is_taken_may_be_of_any_characters(model: LexiconSentiment) -> None:
    assert len(model.decode(("😀" * MOST).encode())) == MOST
    assert len(model.decode(("\ufeff" + "😀" * MOST).encode())) == MOST, "a byte order mark is no part of it"


@pytest.mark.parametrize("pattern", ["good ", "not good ", "bad but ", "kind of good ", "😀", "👨‍👩‍👧‍👦", "x"])
def test_no_text_takes_long(model: LexiconSentiment, pattern: str) -> None:
    text = (pattern * MOST)[:MOST]
    started = time.process_time()
    judge(model, text)
    assert time.process_time() - started < 1


def test_of_a_long_text_the_beginning_counts(model: LexiconSentiment) -> None:
    assert judge(model, "good " * 20 + "plain " * 500 + "awful " * 300).label == "POSITIVE"


def test_without_its_package_the_model_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexicon_sentiment, "is_installed", lambda _package: False)
    with pytest.raises(ModelError, match=r"pip install 'velox\[text\]'"):
        LexiconSentiment(Settings()).load("cpu")
