"""Runs the export of a network for texts with ONNX Runtime: on the CPU and without torch."""

from pathlib import Path

from velox.errors import ModelError
from velox.models.backends.backend import Probabilities
from velox.models.backends.onnxruntime_backend import start_session
from velox.models.card import EXPORTED_FROM
from velox.models.transformer.batches import Tokens

_IDS, _MASK, _TYPES = "input_ids", "attention_mask", "token_type_ids"


class OnnxNetwork:
    """An export on one thread: there is an inference process for each core.

    Those that others have written run as well, if their inputs have the names that transformers gives them and logits
    come first of what they give.
    """

    def __init__(self, path: Path) -> None:
        """Read and optimise the export at ``path``, in int8 or not.

        Raises:
            ModelError: it is missing, damaged, or its inputs have other names.
        """
        self._session = start_session(path)
        self.identity: str = self._session.get_modelmeta().custom_metadata_map.get(EXPORTED_FROM, "")
        """Version of the weights that it was made from; empty when somebody else has made it."""
        self._inputs = {given.name for given in self._session.get_inputs()}
        if not {_IDS} <= self._inputs <= {_IDS, _MASK, _TYPES}:
            msg = f"{path}: its inputs are {', '.join(sorted(self._inputs))}; {_IDS} and {_MASK} are what it would get"
            raise ModelError(msg)

    def __call__(self, ids: Tokens, mask: Tokens) -> Probabilities:
        """Return n × labels logits."""
        offered = {_IDS: ids, _MASK: mask, _TYPES: ids * 0}  # one text alone is all of the first type
        logits: Probabilities = self._session.run(None, {name: offered[name] for name in self._inputs})[0]
        return logits
