"""What is no model is told by its bytes, and what may be one is left to those who read it."""

import gzip
import io
import json
import zipfile

import pytest

from velox.models.foreign import named


def archive(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name in names:
            made.writestr(name, b"content")
    return buffer.getvalue()


def safetensors() -> bytes:
    header = json.dumps({"weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(4)


FOREIGN = {
    "nothing": (b"", "is empty; "),
    "a pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
        "is a git-lfs pointer, ",
    ),
    "a page": (b"<!DOCTYPE html>\n<html lang=en>", "is an HTML page, "),
    "a page after a mark": (b"\xef\xbb\xbf\r\n  <HTML><head>", "is an HTML page, "),
    "an answer of a bucket": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "is XML, "),
    "a packed file": (gzip.compress(b"weights"), "is packed by gzip; "),
    "Keras": (b"\x89HDF\r\n\x1a\n" + bytes(100), "is an HDF5 file, "),
    "safetensors": (safetensors(), "is a safetensors file; "),
    "a part of an archive": (archive("model/data.pkl", "model/data/0")[:60], "is cut short or damaged; "),
    "another archive": (archive("model.pth", "classes.json"), "is a zip archive that torch.save did not write; "),
    "a program": (archive("m/data.pkl", "m/constants.pkl", "m/code/__torch__.py"), "is a TorchScript program; "),
}
POSSIBLE = {
    "torch": archive("model/data.pkl", "model/byteorder", "model/data/0", "model/version"),
    "torch, as it was": b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.",
    "ONNX": b"\x08\x0a\x12\x07pytorch",
    "JSON": b'{"0": "red_circle"}',
    "text": b"weights",
    "a size and no object": (5).to_bytes(8, "little") + b"[1,2]",
    "a size beyond the end": (50).to_bytes(8, "little") + b"{}",
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_certainly_no_model_is_named_with_a_remedy(kind: str) -> None:
    content, said = FOREIGN[kind]
    problem = named(content)
    assert problem is not None
    assert problem.startswith(said)
    assert "; " in problem
    assert "train" not in problem


@pytest.mark.parametrize("kind", POSSIBLE)
def test_what_may_be_a_file_of_a_model_is_let_pass(kind: str) -> None:
    assert named(POSSIBLE[kind]) is None
