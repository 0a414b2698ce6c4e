"""A folder with a network for texts that somebody else has exported: random, made in a moment, and without weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import tokenizers
from onnx import TensorProto, helper, numpy_helper

WORDS = ("[PAD]", "[UNK]", "i", "love", "it", "is", "horrible", "blue", "the", "best", "lamp", ".", ",")
_SIZE = 8
_OPSET = 20


def write(folder: Path) -> None:
    """Write it: the mean of the words' vectors decides."""
    labels = {"0": "NEGATIVE", "1": "POSITIVE"}
    (folder / "config.json").write_text(json.dumps({"id2label": labels, "max_position_embeddings": 64}))
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))  # noqa: S106 - a word
    words.normalizer = tokenizers.normalizers.Lowercase()
    words.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    words.save(str(folder / "tokenizer.json"))
    (folder / "model.onnx").write_bytes(_network().SerializeToString())


def _network() -> onnx.ModelProto:
    chance = np.random.default_rng(1)
    constants: dict[str, npt.NDArray[Any]] = {
        "vectors": chance.normal(size=(len(WORDS), _SIZE)).astype(np.float32),
        "weights": chance.normal(size=(_SIZE, 2)).astype(np.float32),
        "last": np.array([2], np.int64),
        "tokens": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["vectors", "input_ids"], ["each"]),
        helper.make_node("Cast", ["attention_mask"], ["is_word"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["is_word", "last"], ["column"]),
        helper.make_node("Mul", ["each", "column"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "tokens"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["column", "tokens"], ["count"], keepdims=0),
        helper.make_node("Div", ["sum", "count"], ["mean"]),
        helper.make_node("MatMul", ["mean", "weights"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "mean",
        [
            helper.make_tensor_value_info(each, TensorProto.INT64, ["n", "t"])
            for each in ("input_ids", "attention_mask")
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=10)
