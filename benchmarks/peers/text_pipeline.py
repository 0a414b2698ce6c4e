"""The model that every peer of the benchmark of texts runs, as the package transformers advises; and the plain peer.

``uvicorn benchmarks.peers.text_pipeline:api`` serves it from FastAPI, one text after the other; the model is in
PEER_MODEL.
"""

import os
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline


def classify(model: Any, texts: Sequence[str]) -> list[dict[str, object]]:  # noqa: ANN401 - a pipeline of transformers
    """Answer label and score of each text, all in one batch."""
    found: list[dict[str, object]] = model(list(texts), batch_size=len(texts), truncation=True)
    return found


def load() -> Any:  # noqa: ANN401 - a pipeline of transformers
    """Load the model."""
    model = pipeline("sentiment-analysis", model=os.environ["PEER_MODEL"], device="cpu")
    # Batches ask for one, and the tokenizer that was trained here names none.
    model.tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    return model


class Asked(BaseModel):
    """What clients send."""

    text: str


api = FastAPI()
_models: list[Any] = []


@api.get("/health")
async def health() -> dict[str, str]:
    """Load the model when asked first; answer then."""
    if not _models:
        _models.append(load())
    return {"status": "ok"}


@api.post("/predict")
async def predict(asked: Asked) -> dict[str, object]:
    """Predict at once. In threads it would be slower: they would share the cores that torch uses anyway."""
    return classify(_models[0], [asked.text])[0]
