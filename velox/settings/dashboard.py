"""The dashboard: where it is, who may see it, and whom it asks."""

from typing import ClassVar, Self

from pydantic import Field, SecretStr, model_validator

from velox.settings.group import Group
from velox.settings.literals import Names


class DashboardSettings(Group):
    """The page that shows what Velox sees."""

    title: ClassVar = "Dashboard"

    dashboard_host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; `0.0.0.0` = all.")
    dashboard_port: int = Field(8088, ge=0, le=65_535, description="Port of the page; 0 = any free.")
    dashboard_token: SecretStr = Field(
        SecretStr(""),
        description="Who knows it sees the page, and may change things there; empty = whoever is on this machine, and "
        "nobody else.",
    )
    dashboard_consumers: Names = Field(
        (),
        description="Where consumers serve their metrics, `host:port,…`; empty = this machine's `METRICS_PORT`.",
    )

    @model_validator(mode="after")
    def _consumers_are_addresses(self) -> Self:
        for address in self.dashboard_consumers:
            host, _, port = address.rpartition(":")
            if not host or not port.isdecimal() or int(port) > 65_535:  # noqa: PLR2004 - the highest port there is
                msg = f"DASHBOARD_CONSUMERS: {address!r} is no address; write host:port, as in consumer-1:8000"
                raise ValueError(msg)
        return self
