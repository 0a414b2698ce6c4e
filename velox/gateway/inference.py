"""The API for any model: ``/inference``, ``/status`` and ``/result``."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, File, Response, UploadFile

from velox.core.states import FINAL, State
from velox.gateway import payloads, webhooks
from velox.gateway.access import Reader, Submitter
from velox.gateway.costs import tell_costs
from velox.gateway.models import ServedModel
from velox.gateway.parts import Gateway, Here
from velox.gateway.problems import not_found, unprocessable
from velox.gateway.questions import limits
from velox.gateway.removing import remove
from velox.gateway.schemas import Detail, InferenceAnswer, InferenceRequest, InferenceStatus, Message, Url
from velox.gateway.submitting import Question
from velox.requests import bodies
from velox.requests.rows import Request

router = APIRouter(tags=["inference"])

_ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    413: {"model": Detail, "description": "The body or the image is too large"},
    429: {"model": Detail, "description": "Too many requests are pending"},
    503: {"model": Detail, "description": "Kafka or the store does not answer"},
}
_UNKNOWN: Final[dict[int | str, dict[str, Any]]] = {404: {"model": Detail}, 503: {"model": Detail}}


@router.post("/inference", response_model=InferenceAnswer, responses=_ERRORS)
async def submit(body: InferenceRequest, gateway: Here, owner: Submitter) -> dict[str, Any]:
    """Ask a model: ``data`` is a text, or an image's file in base64; or an object with one of them.

    Answers as soon as it is safe in Kafka.
    """
    model = gateway.model(body.model_name)
    return await _submit(gateway, owner, model, _payload(gateway, model, body.data), body.webhook_url)


@router.post("/inference/file", response_model=InferenceAnswer, responses=_ERRORS)
async def submit_file(
    model_name: str,
    file: Annotated[UploadFile, File(description="A text in UTF-8, or an image.")],
    gateway: Here,
    owner: Submitter,
    webhook_url: Url | None = None,
) -> dict[str, Any]:
    """Ask a model about a file: answers as soon as it is safe in Kafka."""
    model = gateway.model(model_name)
    content = await file.read()
    if model.kind == "image":
        payload = payloads.image(content, limits(gateway))
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise unprocessable(f"no text in UTF-8: {error.reason}", "file") from error
        payload = payloads.text(text, gateway.settings.max_text_length, "file")
    return await _submit(gateway, owner, model, payload, webhook_url)


@router.get("/status/{request_id}", response_model=InferenceStatus, responses=_UNKNOWN)
async def status(request_id: str, gateway: Here, owner: Reader) -> dict[str, Any]:
    """Ask where a request stands."""
    request = await _found(gateway, request_id, owner)
    is_final = request.state in FINAL
    return {
        "request_id": request.id,
        "status": bodies.status(request),
        "created_at": request.created_at,
        "completed_at": request.completed_at if is_final else None,
        "result_url": f"/result/{request.id}" if is_final else None,
    }


@router.get("/result/{request_id}", response_model=InferenceAnswer, responses=_UNKNOWN)
async def result(request_id: str, gateway: Here, owner: Reader, response: Response) -> dict[str, Any]:
    """Ask for the result of a request."""
    request = await _found(gateway, request_id, owner)
    tell_costs(request, response)
    return bodies.result_body(request)


@router.delete("/status/{request_id}", response_model=Message, responses=_UNKNOWN)
async def delete(request_id: str, gateway: Here, owner: Submitter) -> dict[str, Any]:
    """Forget a request: one without a result is cancelled, though it may be computed all the same."""
    await _found(gateway, request_id, owner)
    if await remove(gateway, request_id, owner) is None:
        raise not_found(request_id)
    return {"message": f"Request {request_id} deleted"}


def _payload(gateway: Gateway, model: ServedModel, data: object) -> bytes:
    said = data.get(model.kind) if isinstance(data, dict) else data
    if not isinstance(said, str):
        what = "a text" if model.kind == "text" else "an image's file in base64"
        raise unprocessable(f'for {model.name}, data is {what}, or {{"{model.kind}": …}} with it', "data")
    if model.kind == "text":
        return payloads.text(said, gateway.settings.max_text_length, "data")
    return payloads.image(payloads.from_base64(said, "data"), limits(gateway))


async def _submit(
    gateway: Gateway, owner: str, model: ServedModel, payload: bytes, webhook_url: str | None
) -> dict[str, Any]:
    question = Question(
        model=model,
        payload=payload,
        owner=owner,
        webhook_url=webhooks.checked(webhook_url, gateway.settings),
        webhook_form="plain",
    )
    request = await gateway.submitting.submit(question)
    return {"request_id": request.id, "status": "submitted", "result": None, "error": None}


async def _found(gateway: Gateway, request_id: str, owner: str) -> Request:
    request = await gateway.owned(request_id, owner)
    if request is None or request.state is State.CANCELLED:
        raise not_found(request_id)
    return request
