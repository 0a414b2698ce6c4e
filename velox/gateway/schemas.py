"""What the APIs read and write, for validation and for /docs."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictStr, WithJsonSchema

SafeId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
Url = Annotated[str, Field(min_length=1, max_length=2000)]
Time = Annotated[datetime, WithJsonSchema({"type": ["string", "number"], "description": "ISO 8601, or Unix seconds."})]


class PredictRequest(BaseModel):
    """A text to be judged."""

    text: StrictStr = Field(min_length=1, description="1 to MAX_TEXT_LENGTH characters.")
    request_id: SafeId | None = Field(None, description="Your own id: the same again is one request.")
    created_at: Time | None = None


class Accepted(BaseModel):
    """It is in Kafka."""

    request_id: str
    status: str = "pending"
    message: str = "Request enqueued for processing"


class Pending(BaseModel):
    """There is no result yet."""

    request_id: str
    status: str = "pending"


class Prediction(BaseModel):
    """A result; of a failed request the label is ERROR and the score 0."""

    model_config = ConfigDict(protected_namespaces=())

    request_id: str
    label: str
    score: float
    model_name: str
    inference_time_ms: float
    status: str
    created_at: str


class Health(BaseModel):
    """Whether the gateway can take requests."""

    service: str
    status: str
    version: str
    kafka_connected: bool


class InferenceRequest(BaseModel):
    """Data for a model: a text; for an image, its file in base64."""

    model_config = ConfigDict(protected_namespaces=())

    model_name: StrictStr
    data: Any
    webhook_url: Url | None = None


class InferenceAnswer(BaseModel):
    """A request and, when there is one, its result."""

    request_id: str
    status: str
    result: Any = None
    error: str | None = None


class InferenceStatus(BaseModel):
    """Where a request stands."""

    request_id: str
    status: str
    created_at: float
    completed_at: float | None
    result_url: str | None


class Message(BaseModel):
    """What was done."""

    message: str


class Detail(BaseModel):
    """What is wrong."""

    detail: Any


class NewRequest(BaseModel):
    """A question to a model: exactly one of ``text`` and ``image``."""

    model_config = ConfigDict(extra="forbid")

    model: StrictStr = Field(min_length=1, max_length=100)
    text: StrictStr | None = None
    image: StrictStr | None = Field(None, description="An image's file in base64.")
    id: SafeId | None = Field(None, description="Your own id: the same again is one request.")
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,100}$")] | None = Field(
        None, description="Version of the model that is asked for."
    )
    deadline_s: float | None = Field(
        None, gt=0, le=30 * 86_400, allow_inf_nan=False, description="Seconds after which the answer is of no use."
    )
    webhook_url: Url | None = None


class Error(BaseModel):
    """Why a request failed."""

    reason: str
    detail: str


class Score(BaseModel):
    """A label with its probability."""

    label: str
    score: float


class RequestBody(BaseModel):
    """A request with its answer; times in ISO 8601, UTC."""

    id: str
    model: str
    version: str | None
    state: str = Field(description="pending, completed, failed or cancelled")
    label: str | None
    score: float | None
    scores: list[Score]
    answered_by: str | None
    error: Error | None
    created_at: str
    completed_at: str | None
    expires_at: str
    timings: dict[str, Any] | None


class RequestList(BaseModel):
    """Some requests, newest first."""

    requests: list[RequestBody]
    after: str | None = Field(description="Give this as `after` for the next page; null when there is none.")


class Attempt(BaseModel):
    """One attempt to deliver a webhook."""

    attempt: int
    at: str
    state: str = Field(description="What the webhook was in then: delivered, due (again), gone or exhausted.")
    status: int | None = Field(description="HTTP status of the answer; null when none came.")
    seconds: float
    error: str | None


class WebhookBody(BaseModel):
    """What became of a request's webhook."""

    url: str | None
    state: str = Field(description="none, waiting (for the result), due, delivered, gone (410) or exhausted")
    due_at: str | None = Field(description="When it will be tried, or while it is being tried, when that ends at last.")
    attempts: list[Attempt]


class NewSecret(BaseModel):
    """A destination of webhooks that is to have a secret of its own."""

    destination: Url = Field(description="Its scheme, host and port count, as in https://hooks.example.com.")
    secret: StrictStr | None = Field(
        None, max_length=200, description="`whsec_` and 24 to 64 bytes in base64; null = one is made."
    )
    keep_s: float = Field(
        86_400.0, ge=0, le=30 * 86_400, description="The secret before it signs too, for so many seconds."
    )


class SecretKept(BaseModel):
    """A destination that has a secret of its own."""

    destination: str
    changed_at: str
    before_until: str | None = Field(description="Until when the secret before it signs too; null when it does not.")


class SecretBody(SecretKept):
    """The same, with the secret."""

    secret: str


class SecretList(BaseModel):
    """The destinations that have secrets of their own."""

    secrets: list[SecretKept]


class Model(BaseModel):
    """A model that is served."""

    name: str
    kind: str
    topic: str
    pending: int
    state: str | None = Field(
        description="`ready`, `starting`, `unready` (it waits for something, and will answer), `failing` (it cannot be "
        "loaded), `draining`; null when no consumer reports it here."
    )
    cause: str | None = Field(description="Why it is not ready.")


class ModelList(BaseModel):
    """The models that are served."""

    models: list[Model]


class ProblemDetails(BaseModel):
    """What is wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[Any] | None = None
