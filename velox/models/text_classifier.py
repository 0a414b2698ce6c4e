"""Classifies texts with a network such as DistilBERT, in the format of the package transformers."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from velox.errors import BadRecordError, ModelError, Reason
from velox.models import texts
from velox.models.backends.backend import Probabilities
from velox.models.transformer import starting
from velox.models.transformer.batches import Tokens, classify
from velox.models.transformer.starting import Started
from velox.models.transformer.tokens import Tokenizer
from velox.records import Prediction
from velox.settings import InferenceSettings

_DIGITS: Final = 6
_MOST_SCORES: Final = 100


class TextClassifier:
    """Gives a text one of the labels that its ``config.json`` names; obeys the Model contract.

    MODEL_PATH is a folder (``config.json``, ``tokenizer.json``, and ``model.safetensors`` or an exported
    ``model.onnx``) or the name of one on the Hugging Face hub. Of a long text the first 512 tokens count, which is
    remarked. Beside the weights lies what is made of them at the first start, or by ``velox train``: the export, its
    int8, and ``velox.json``, which says how far the two agree.
    """

    name: str
    """That of the folder, or on the hub."""
    version: str
    labels: Sequence[str]

    def __init__(self, settings: InferenceSettings) -> None:
        """Keep the settings; touch no file and no device yet."""
        self._settings = settings
        self._started: Started | None = None
        self._tokenize: Tokenizer | None = None

    def load(self, device: str) -> None:
        """Read the folder and get ready to predict on ``cpu``, ``cuda:0``, …; warm when it returns.

        Raises:
            ModelError: the files are missing, damaged or do not fit together, or a package is missing.
        """
        self._started = starting.start(self._settings, device)
        self._tokenize = Tokenizer(self._started.files)
        self.name = self._settings.model_path.absolute().name
        self.version, self.labels = self._started.version, self._started.files.labels
        self._warm_up()

    def decode(self, payload: bytes) -> Tokens:
        """Read one text, and turn it into tokens.

        Raises:
            BadRecordError: it is not UTF-8, empty, or longer than MAX_TEXT_CHARACTERS.
        """
        if self._tokenize is None:
            raise ModelError("decode before load")
        return self._tokenize(texts.decode(payload, most_characters=self._settings.max_text_characters))

    def predict(self, inputs: Sequence[Tokens]) -> list[Prediction | BadRecordError]:
        """Classify texts; one for which the network gives no finite answer gets an error in its place."""
        return [self._answer(row) for row in self._probabilities(inputs)]

    def sample(self) -> bytes:
        """Give a text of a usual length."""
        return b"I was not sure at first, but this is the best lamp I have ever had. The light is warm and pleasant."

    def _probabilities(self, inputs: Sequence[Tokens]) -> Probabilities:
        if self._started is None:
            raise ModelError("predict before load")
        return classify(self._started.network, inputs, pad_token=self._started.files.pad_token)

    def _answer(self, row: Probabilities) -> Prediction | BadRecordError:
        if not np.isfinite(row).all():
            return BadRecordError(Reason.BAD_PREDICTION, f"model {self.name} {self.version} answers {row.max()}")
        best = np.argsort(-row, kind="stable")[:_MOST_SCORES]
        # A softmax may round up to just above 1.
        scores = tuple((self.labels[index], min(round(float(row[index]), _DIGITS), 1.0)) for index in best)
        return Prediction(*scores[0], scores)

    def _warm_up(self) -> None:
        """Predict once, so that the first record does not wait for what libraries put off until their first use.

        Raises:
            ModelError: the network has other outputs than there are labels.
        """
        outputs = self._probabilities([self.decode(self.sample())]).shape[1]
        if outputs != len(self.labels):
            msg = f"{self._settings.model_path}: {outputs} outputs, and config.json names {len(self.labels)} labels"
            raise ModelError(msg)
