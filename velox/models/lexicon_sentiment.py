"""Says whether a text in English is for or against something, by its words: the lexicon and the rules of VADER."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Final

from velox.errors import ModelError
from velox.loading import is_installed
from velox.models import texts
from velox.records import Prediction
from velox.settings import InferenceSettings

POSITIVE, NEGATIVE = "POSITIVE", "NEGATIVE"

_MOST_WORDS: Final = 512
"""Words, and words of emojis' names, that are read of a text: VADER takes time that grows with their square."""
_DIGITS: Final = 6


class LexiconSentiment:
    """Needs no training, no weights and no GPU; obeys the Model contract.

    VADER gives a text a number from -1 (against) to 1 (for). Half-way between 0 and 1, that is ``(number + 1) / 2``, is
    taken for the probability of POSITIVE; it is none in the strict sense, but grows with the opinion. A text in which
    VADER finds no opinion is POSITIVE with a confidence of 0.5: less than any threshold that makes sense. Of a long
    text, the first 512 words count.
    """

    name = "vader"
    version: str
    """That of the package: the lexicon is a part of it."""
    labels: Sequence[str] = (POSITIVE, NEGATIVE)

    def __init__(self, settings: InferenceSettings) -> None:
        """Keep the longest text that is taken."""
        self._most_characters = settings.max_text_characters
        self._analyzer: Any = None

    def load(self, device: str) -> None:
        """Read the lexicon; ``device`` does not matter.

        Raises:
            ModelError: the package is not installed.
        """
        if not is_installed("vaderSentiment"):
            raise ModelError(
                "MODEL needs the package vaderSentiment, which is not installed: pip install 'velox[text]'"
            )
        # Here, so that whoever reads this class's name needs no package.
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer  # noqa: PLC0415

        self._analyzer = SentimentIntensityAnalyzer()
        self.version = version("vaderSentiment")

    def decode(self, payload: bytes) -> str:
        """Read one text.

        Raises:
            BadRecordError: it is not UTF-8, empty, or longer than MAX_TEXT_CHARACTERS.
        """
        return texts.decode(payload, most_characters=self._most_characters)

    def predict(self, inputs: Sequence[str]) -> list[Prediction]:
        """Judge each text by itself."""
        return [self._judge(text) for text in inputs]

    def sample(self) -> bytes:
        """Give a text of a usual length."""
        return b"I was not sure at first, but this is the best lamp I have ever had. The light is warm and pleasant."

    def _judge(self, text: str) -> Prediction:
        if self._analyzer is None:
            raise ModelError("predict before load")
        positive = round((self._analyzer.polarity_scores(self._beginning(text))["compound"] + 1) / 2, _DIGITS)
        scores = ((POSITIVE, positive), (NEGATIVE, round(1 - positive, _DIGITS)))
        if positive < 0.5:  # noqa: PLR2004 - as probable as not
            scores = scores[::-1]
        (label, confidence), _ = scores
        return Prediction(label, confidence, scores)

    def _beginning(self, text: str) -> str:
        """Cut a text behind so many words; an emoji is as many as its name, by which VADER knows it."""
        names: dict[str, str] = self._analyzer.emojis
        left = _MOST_WORDS
        is_between = True
        for at, sign in enumerate(text):
            if sign in names:
                left -= len(names[sign].split())
            elif is_between and not sign.isspace():
                left -= 1
            is_between = sign.isspace()
            if left < 0:
                return text[:at]
        return text
