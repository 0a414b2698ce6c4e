"""Turns texts into the tokens of one network, with its own tokenizer."""

from typing import Any

import numpy as np

from velox.errors import ModelError
from velox.loading import is_installed
from velox.models.remarks import remark
from velox.models.transformer.batches import Tokens
from velox.models.transformer.folder import TextFiles


class Tokenizer:
    """What ``tokenizer.json`` says. Several threads may use it at once."""

    def __init__(self, files: TextFiles) -> None:
        """Read it.

        Raises:
            ModelError: it is missing or damaged, or what reads it is not installed.
        """
        if not is_installed("tokenizers"):
            raise ModelError("this MODEL needs the package tokenizers: pip install 'velox[transformers]'")
        import tokenizers  # noqa: PLC0415 - here, so that whoever reads the model's name needs no package

        try:
            self._tokenizer: Any = tokenizers.Tokenizer.from_file(str(files.tokenizer))
        except Exception as error:  # it raises nothing more precise
            msg = f"{files.tokenizer}: no tokenizer that can be read ({error}); copy the folder's files together"
            raise ModelError(msg) from error
        self._most = files.most_tokens
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length=self._most)

    def __call__(self, text: str) -> Tokens:
        """Return the ids of a text's tokens, special ones included; of a text that is too long, those at its beginning.

        That it was too long is remarked, and so counted in ``velox_decode_warnings_total``.
        """
        encoding = self._tokenizer.encode(text)
        if encoding.overflowing:
            remark(f"a text of more than {self._most} tokens: the model has read the first {self._most}")
        return np.array(encoding.ids, np.int64)
