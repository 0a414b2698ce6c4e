"""What the gateway serves, where requests are kept, and how their results are delivered."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, SecretStr, field_validator

from velox.core.addresses import Allowed
from velox.core.proxies import Proxy
from velox.core.rates import Rate
from velox.core.signing_keys import signing_keys
from velox.settings.group import MIB, Group
from velox.settings.literals import Durations, Names


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
    rate_limit: str = Field(
        "",
        description="Most requests from one address, as in `60/minute`, where no API keys are asked for; empty = any "
        "number. Keys have rates of their own.",
    )
    gateway_connections: int = Field(
        2000, ge=1, le=1_000_000, description="Connections at the same time; those beyond are answered with 503."
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

    @field_validator("rate_limit")
    @classmethod
    def _is_a_rate(cls, text: str) -> str:
        if text:
            Rate.parse(text)
        return text


class DestinationSettings(Group):
    """Where results may be delivered to, for whoever takes requests as well as for who delivers."""

    webhook_allow: Names = Field(
        (),
        description="Hosts (`hooks.example.com`, `*.example.com`) at public addresses, and networks (`10.1.0.0/16`), "
        "that webhooks may go to; empty = any public address.",
    )

    @field_validator("webhook_allow")
    @classmethod
    def _are_hosts_or_networks(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        Allowed.of(names)
        return names


class WebhookSettings(DestinationSettings):
    """Delivering results to the URLs that clients name."""

    title: ClassVar = "Webhooks"

    webhook_ladder_s: Durations = Field(
        (0, 5, 300, 1800, 7200, 18_000, 36_000, 23_100),
        min_length=1,
        description="Seconds to wait before each attempt, the first of them 0; when the last has failed, the delivery "
        "is given up.",
    )
    webhook_timeout_s: float = Field(15.0, ge=0.1, le=600, description="A receiver has this long for its answer.")
    webhook_concurrency: int = Field(32, ge=1, le=1000, description="Deliveries at the same time, per worker.")
    webhook_secret: SecretStr = Field(
        SecretStr(""),
        description="Signs webhooks: `whsec_` and 24 to 64 bytes in base64; after a comma the secret before it, while "
        "receivers change over; empty = unsigned. A destination may have a secret of its own.",
    )
    webhook_proxy: SecretStr = Field(
        SecretStr(""),
        description="HTTP proxy that webhooks go through, by `CONNECT`: `http://HOST:PORT`, or "
        "`http://USER:PASSWORD@HOST:PORT`; empty = none.",
    )

    @field_validator("webhook_ladder_s")
    @classmethod
    def _begins_at_once(cls, rungs: tuple[float, ...]) -> tuple[float, ...]:
        if rungs and rungs[0] != 0:
            msg = f"begins with {rungs[0]:g}: write 0 first, as a result is delivered when it is there"
            raise ValueError(msg)
        return rungs

    @field_validator("webhook_secret")
    @classmethod
    def _can_sign(cls, secret: SecretStr) -> SecretStr:
        signing_keys(secret.get_secret_value())
        return secret

    @field_validator("webhook_proxy")
    @classmethod
    def _is_a_proxy(cls, url: SecretStr) -> SecretStr:
        Proxy.parse(url.get_secret_value())
        return url
