"""The plain way to put two models on Ray Serve: one frame a request, pixels passed on, one model after the other."""

from pathlib import Path
from typing import Any

from ray import serve
from starlette.requests import Request

from velox.models.image_classifier import ImageClassifier
from velox.records import Prediction
from velox.settings import InferenceSettings


@serve.deployment(max_ongoing_requests=16, ray_actor_options={"num_cpus": 0.5})
class NaiveClassifier:
    """One model; batches what comes at the same time."""

    def __init__(self, settings: InferenceSettings) -> None:
        self._model = ImageClassifier(settings)
        self._model.load("cpu")

    @serve.batch(max_batch_size=8, batch_wait_timeout_s=0.005)
    async def __call__(self, images: list[Any]) -> list[str]:
        """Predict what was decoded elsewhere."""
        return [said.label if isinstance(said, Prediction) else "" for said in self._model.predict(images)]


@serve.deployment(max_ongoing_requests=16, ray_actor_options={"num_cpus": 0})
class NaiveInference:
    """Reads and decodes a frame, and asks one model after the other."""

    def __init__(self, settings: InferenceSettings, folder: Path, first: Any, second: Any) -> None:  # noqa: ANN401 - handles
        self._model = ImageClassifier(settings)
        self._model.load("cpu")
        self._folder, self._models = folder, (first, second)

    async def __call__(self, request: Request) -> str:
        """Predict one frame."""
        path = (await request.json())["img_path"]
        image = self._model.decode((self._folder / path).read_bytes())
        for model in self._models:
            await model.remote(image)
        return "success"


def application(settings: InferenceSettings, folder: Path) -> Any:  # noqa: ANN401 - of a library without types
    """Put it together."""
    kinds: Any = (NaiveClassifier, NaiveInference)  # deployments by now, whatever their types say
    classifier, inference = kinds
    models = [classifier.options(name=f"classifier{number}").bind(settings) for number in (1, 2)]
    return inference.options(name="inference").bind(settings, folder, *models)
