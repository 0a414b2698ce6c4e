"""The deployments: each model by itself, and the one that reads frames and asks them all at the same time."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from http import HTTPMethod, HTTPStatus
from time import monotonic, time
from typing import Any, Final

from ray import serve
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from starlette.requests import Request
from starlette.responses import JSONResponse

from velox.cluster import questions
from velox.cluster.config import ClusterConfig, Deployment
from velox.cluster.frames import Column, Frame, Kind, Reply, Said, Seen, Trouble
from velox.cluster.policy import BUSY, CALLS_PER_S, POLICY
from velox.cluster.reading import FrameReader
from velox.cluster.scaling import Pulse
from velox.consumer.inference import answer
from velox.consumer.portions import Portions
from velox.errors import BadRecordError, BucketUnavailableError
from velox.loading import load_class
from velox.models.model import Model
from velox.records import ModelInfo, Timings
from velox.settings import InferenceSettings, ObjectSettings

APPLICATION: Final = "velox"
_ROUTE: Final = "/inference"


def _frames_in(calls: Sequence[Sequence[bytes]]) -> int:
    return sum(map(len, calls))


class Classifier:
    """One model: predicts lists of payloads, several callers' together where they come at the same time."""

    def __init__(self, entry: Deployment, settings: InferenceSettings) -> None:
        """Load it, and get warm; what that raises, Ray tells and tries again."""
        settings = settings.model_copy(update={"batch_size": entry.max_batch_size})
        device = "cuda:0" if entry.num_gpus else "cpu"
        model: Model = load_class(settings.model)(settings)
        model.load(device)
        self._model = model
        self._info = ModelInfo(entry.name, model.version, tuple(model.labels), device)
        self._signature = replace(self._info, labels=())
        self._portions = Portions(entry.max_batch_size)
        self._most = entry.max_batch_size
        self._timeout_s = settings.inference_timeout_s
        self._pulse = Pulse(over_s=entry.look_back_period_s, now=monotonic())
        self._busy_since: float | None = None
        # One thread, as the contract of models has it; the event loop goes on taking calls meanwhile.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._together.set_max_batch_size(entry.max_batch_size)
        self._together.set_batch_wait_timeout_s(entry.batch_wait_timeout_s)

    async def describe(self) -> ModelInfo:
        """Say which model it is, with its labels."""
        return self._info

    async def predict(self, payloads: Sequence[bytes]) -> Column:
        """Predict encoded images, as many as there are; what cannot be decoded costs only itself."""
        parts = [payloads[start : start + self._most] for start in range(0, len(payloads), self._most)]
        columns = await asyncio.gather(*map(self._together, parts))
        said = [each for column in columns for each in column.said]
        timings = [column.timings for column in columns]
        times = (
            max(t.queued_s for t in timings),
            sum(t.decoded_s for t in timings),
            sum(t.inferred_s for t in timings),
        )
        return Column(self._signature, said, Timings(*times, max(t.batch_size for t in timings)))

    @serve.batch(batch_size_fn=_frames_in)
    async def _together(self, calls: list[Sequence[bytes]]) -> list[Column]:
        """Predict what several callers have sent, and give each its own."""
        batch = list(enumerate(payload for call in calls for payload in call))
        self._busy_since = monotonic()
        self._pulse.begins(self._busy_since)
        try:
            predict = partial(answer, self._model, batch, portions=self._portions)
            answers = await asyncio.get_running_loop().run_in_executor(self._thread, predict)
        finally:
            self._busy_since = None
            self._pulse.ends(len(calls), monotonic())
        said = dict(answers.answers)
        timings = Timings(0.0, answers.decode_s, answers.inference_s, len(batch))
        columns, start = [], 0
        for call in calls:
            columns.append(Column(self._signature, [said[start + at] for at in range(len(call))], timings))
            start += len(call)
        return columns

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Tell Ray, which hands it to the policy."""
        now = monotonic()
        return {BUSY: self._pulse.busy(now), CALLS_PER_S: self._pulse.calls_per_s(now)}

    def check_health(self) -> None:
        """Have Ray replace this replica when a prediction hangs: nothing else would end it."""
        since = self._busy_since
        if since is not None and monotonic() - since > self._timeout_s:
            msg = f"a batch has been predicted for {monotonic() - since:.0f} s, INFERENCE_TIMEOUT_S={self._timeout_s:g}"
            raise RuntimeError(msg)


class Inference:
    """Reads frames, and has all models look at them at the same time."""

    def __init__(self, models: Mapping[str, Any], objects: ObjectSettings, stale_after_s: float) -> None:
        """Take a handle of each model's deployment, by its name."""
        self._models = dict(models)
        self._reader = FrameReader(objects)
        self._stale_after_s = stale_after_s
        self._infos: dict[str, ModelInfo] = {}

    async def describe(self) -> tuple[ModelInfo, ...]:
        """Say which models there are; once each has a replica."""
        return tuple(await asyncio.gather(*(handle.describe.remote() for handle in self._models.values())))

    async def predict(self, frames: Sequence[Frame]) -> Reply:
        """Have a list of frames predicted; a frame that cannot be read costs only itself."""
        try:
            read = await self._read(frames, time() - self._stale_after_s)
        except BucketUnavailableError as error:
            return Trouble(Kind.DOWN, str(error))
        good = [each for each in read if isinstance(each, bytes)]
        if not good:
            infos = await self.describe()
            return Seen([Column(replace(info, labels=()), _spread(read, ()), _NO_TIME) for info in infos])
        columns = await asyncio.gather(*(self._ask(name, good) for name in self._models))
        if trouble := _worst(columns):
            return trouble
        return Seen([each._replace(said=_spread(read, each.said)) for each in columns if isinstance(each, Column)])

    async def __call__(self, request: Request) -> JSONResponse:
        """Answer ``POST /inference``: one frame. Whoever has many should have them predicted in lists."""
        if request.url.path.rstrip("/") != _ROUTE:
            made = questions.refuse(HTTPStatus.NOT_FOUND, f"ask with POST {_ROUTE}")
        elif request.method != HTTPMethod.POST:
            made = questions.refuse(HTTPStatus.METHOD_NOT_ALLOWED, f"ask with POST {_ROUTE}")
        else:
            question = questions.read(await _body(request))
            made = question if isinstance(question, questions.Answer) else await self._answer(question)
        return JSONResponse(made.body, status_code=made.status, headers=made.headers)

    async def _answer(self, question: questions.Question) -> questions.Answer:
        if refusal := questions.too_old(question, time(), stale_after_s=self._stale_after_s):
            return refusal
        try:
            (read,) = await self._read([Frame(pointer=question.pointer)], -math.inf)
        except BucketUnavailableError as error:
            return questions.refuse(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        if isinstance(read, BadRecordError):
            return questions.unread(read)
        columns = await asyncio.gather(*(self._ask(name, [read]) for name in self._models))
        busy = [each for each in columns if isinstance(each, Trouble) and each.kind is not Kind.LOST]
        if busy:
            return questions.refuse(HTTPStatus.SERVICE_UNAVAILABLE, busy[0].why)
        said: list[tuple[ModelInfo, Said | str]] = [
            (ModelInfo(name, "", (), ""), column.why) if isinstance(column, Trouble) else (column.model, column.said[0])
            for name, column in zip(self._models, columns, strict=True)
        ]
        return questions.answer(question, said, time())

    async def _read(self, frames: Sequence[Frame], not_before: float) -> list[bytes | BadRecordError]:
        """Read those that were taken since then; the others may have waited here for long."""
        return await asyncio.to_thread(self._reader.read, frames, not_before)

    async def _ask(self, name: str, payloads: Sequence[bytes]) -> Column | Trouble:
        try:
            column: Column = await self._models[name].predict.remote(payloads)
        except BackPressureError as error:
            return Trouble(Kind.BUSY, f"{name}: {error}")
        except DeploymentUnavailableError as error:
            return Trouble(Kind.DOWN, f"{name}: {error}")
        except Exception as error:  # noqa: BLE001 - a replica died, or its model raised: anything may come here
            return Trouble(Kind.LOST, f"{name}: {_first_line(error)}")
        return column


async def _body(request: Request) -> bytes:
    """Read what was sent, and no more than says that it is too long."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > questions.MOST_BYTES:
            break
    return body


_NO_TIME: Final = Timings(0.0, 0.0, 0.0, 0)


def _spread(read: Sequence[bytes | BadRecordError], said: Sequence[Said]) -> list[Said]:
    """Put the answers back beside the frames that could not be read."""
    answers = iter(said)
    return [each if isinstance(each, BadRecordError) else next(answers) for each in read]


def _worst(columns: Sequence[Column | Trouble]) -> Trouble | None:
    """Choose the trouble that says most: who is told of a loss looks for its cause, all else is only tried again."""
    troubles = [each for each in columns if isinstance(each, Trouble)]
    order = (Kind.LOST, Kind.DOWN, Kind.BUSY)
    return min(troubles, key=lambda each: order.index(each.kind), default=None)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else ''}"


def application(
    config: ClusterConfig,
    settings: Mapping[str, InferenceSettings],
    objects: ObjectSettings,
    *,
    stale_after_s: float = math.inf,
) -> Any:  # noqa: ANN401 - serve.Application, of a library without types
    """Put the deployments together; ``settings`` are those of each model, by its name."""
    models = {entry.name: _options(entry, Classifier).bind(entry, settings[entry.name]) for entry in config.classifiers}
    return _options(config.ingress, Inference).bind(models, objects, stale_after_s)


def _options(entry: Deployment, kind: type) -> Any:  # noqa: ANN401 - serve.Deployment, of a library without types
    return serve.deployment(kind).options(
        name=entry.name,
        ray_actor_options=entry.resources,
        max_ongoing_requests=entry.max_ongoing_requests,
        max_queued_requests=entry.max_queued_requests,
        autoscaling_config=entry.scaling | _policy(entry),
        graceful_shutdown_timeout_s=entry.graceful_shutdown_timeout_s,
        health_check_period_s=_HEALTH_S,
    )


def _policy(entry: Deployment) -> dict[str, Any]:
    """Have what waits decide, where a model says in which time it is to be done; else Ray counts calls."""
    if not entry.target_drain_s:
        return {}
    return {"policy": {"policy_function": POLICY, "policy_kwargs": {"drain_s": entry.target_drain_s}}}


_HEALTH_S: Final = 5.0
