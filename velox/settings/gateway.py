"""What the gateway serves, where requests are kept, and how their results are delivered."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, SecretStr, field_validator

from velox.settings.group import MIB, Group
from velox.settings.literals import Names


class RequestSettings(Group):
    """Where requests and their results are kept: for gateways, webhook workers and the sink ``requests``."""

    title: ClassVar = "Requests"

    requests_url: SecretStr = Field(
        SecretStr("sqlite:///velox-requests.db"),
        description="Database of requests and results: `sqlite:///FILE`, or `postgresql://USER:PASSWORD@HOST/NAME`.",
    )
    result_ttl_s: float = Field(
        86_400.0, ge=1, le=366 * 86_400, description="A request and its result are kept for this long."
    )


class CatalogueSettings(Group):
    """Which models there are: for gateways and for a consumer of several."""

    title: ClassVar = "Models of the API"

    models_path: Path = Field(
        Path("models.toml"),
        description="Names the models that the API offers and `velox consume --models` runs, each with its pipeline "
        "file.",
    )


class GatewaySettings(Group):
    """The REST API."""

    title: ClassVar = "Gateway"

    gateway_host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; `0.0.0.0` = all.")
    gateway_port: int = Field(8000, ge=0, le=65_535, description="Port of the API; 0 = any free.")
    auth: Literal["auto", "on", "off"] = Field(
        "auto",
        description="API keys: `on` asks for one; `off` takes everybody; `auto` takes everybody on a loopback address, "
        "and asks elsewhere.",
    )
    max_body_bytes: int = Field(10 * MIB, ge=1024, le=1024 * MIB, description="A larger body is refused with 413.")
    max_text_length: int = Field(5000, ge=1, le=1_000_000, description="Characters of a text; a longer one is refused.")
    max_pending: int = Field(
        100_000, ge=1, description="Beyond so many pending requests, more are refused with 429 and Retry-After."
    )
    accept_timeout_s: float = Field(
        5.0, ge=0.1, le=600, description="When Kafka has not taken a record by then, its request is refused with 503."
    )
    wait_max_s: float = Field(60.0, ge=0, le=3600, description="Longest `?wait=` and longest stream of events.")
    look_interval_ms: int = Field(
        20, ge=1, le=10_000, description="How often the store is asked for results that somebody waits for."
    )


class WebhookSettings(Group):
    """Delivering results to the URLs that clients name."""

    title: ClassVar = "Webhooks"

    webhook_ladder_s: Names = Field(
        ("0", "5", "300", "1800", "7200", "18000", "36000", "23100"),
        min_length=1,
        description="Seconds to wait before each attempt; when the last has failed, the delivery is given up.",
    )
    webhook_timeout_s: float = Field(15.0, ge=0.1, le=600, description="A receiver has this long for its answer.")
    webhook_allow: Names = Field(
        (),
        description="Hosts (`hooks.example.com`, `*.example.com`) and networks (`10.1.0.0/16`) that webhooks may go "
        "to; empty = any public address, and no other.",
    )
    webhook_concurrency: int = Field(32, ge=1, le=1000, description="Deliveries at the same time, per worker.")
    webhook_secret: SecretStr = Field(
        SecretStr(""),
        description="Signs the webhooks of the API: `whsec_` and 24 to 64 bytes in base64; empty = unsigned.",
    )

    @field_validator("webhook_ladder_s")
    @classmethod
    def _are_times(cls, rungs: tuple[str, ...]) -> tuple[str, ...]:
        for rung in rungs:
            try:
                is_one = 0 <= float(rung) <= 30 * 86_400
            except ValueError:
                is_one = False
            if not is_one:
                msg = f"{rung!r} is no time: write seconds from 0 to {30 * 86_400}, with commas"
                raise ValueError(msg)
        return rungs
