"""Whose request it is, and whether everybody may ask: the one place that knows."""

from ipaddress import ip_address

from velox.errors import SettingsError
from velox.requests.rows import NOBODY
from velox.settings.gateway import GatewaySettings


async def owner() -> str:
    """Answer the owner of what an HTTP request asks: nobody in particular, as there are no API keys."""
    return NOBODY


def check(settings: GatewaySettings) -> None:
    """Refuse to be open to whoever can reach the address, unless that is said.

    Raises:
        SettingsError: API keys are asked for, which there are not; or nobody has said that none are needed.
    """
    if settings.auth == "on":
        msg = "AUTH=on: there are no API keys yet; keep GATEWAY_HOST on this machine, or set AUTH=off behind a proxy"
        raise SettingsError(f"{msg} that checks who asks")
    if settings.auth == "auto" and not _is_loopback(settings.gateway_host):
        msg = (
            f"AUTH=auto and GATEWAY_HOST={settings.gateway_host}: whoever reaches this address could use the gateway; "
            "set AUTH=off if that is meant, or GATEWAY_HOST=127.0.0.1"
        )
        raise SettingsError(msg)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
