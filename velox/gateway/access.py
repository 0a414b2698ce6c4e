"""Whose request it is, what it may ask, and how often: the one place that knows."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache, partial
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from velox.core.api_keys import SCOPES
from velox.core.rates import Rate
from velox.errors import StoreUnavailableError
from velox.gateway.keychain import Keychain
from velox.gateway.problems import Problem, answer, of
from velox.gateway.rates import Rates
from velox.requests.rows import NOBODY
from velox.settings.gateway import GatewaySettings
from velox.web.listening import is_loopback

OPEN: Final = frozenset(
    {"/health", "/livez", "/readyz", "/metrics", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"}
)
"""Paths for which nobody is asked for a key, and which count for no rate."""
_SCHEMES: Final = {
    "HTTPBearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
    "APIKeyHeader": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."},
}
_CALLER: Final = "caller"
_SUBNET_BITS: Final = 64
"""An IPv6 client has as many addresses as it likes, in a network of this size."""


def describe(app: FastAPI) -> None:
    """Have the app's description say how a key is sent. As dependencies of the routes, that would cost each request."""
    plain = app.openapi

    @cache
    def described() -> dict[str, Any]:
        found = plain()
        found.setdefault("components", {})["securitySchemes"] = _SCHEMES
        for path in found["paths"].keys() - OPEN:
            for operation in found["paths"][path].values():
                operation["security"] = [{name: []} for name in _SCHEMES]
        return found

    app.openapi = described  # type: ignore[method-assign]  # as FastAPI's documentation has it


def asks_for_keys(settings: GatewaySettings) -> bool:
    """Say whether an API key is needed: AUTH=auto asks for one where others than this machine can reach the address."""
    return settings.auth == "on" or (settings.auth == "auto" and not is_loopback(settings.gateway_host))


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    owner: str
    scopes: frozenset[str]
    take: Callable[[int], None]
    """Counts more of what it does at once; raises ``Problem`` when that is too often."""


class Access:
    """ASGI middleware: lets those through who may ask, before anything of the body is read.

    Every path is closed that is not in ``OPEN``. Which scope is needed is for the routes to say.
    """

    def __init__(self, app: ASGIApp, settings: GatewaySettings, keychain: Keychain) -> None:
        """Stand before an app."""
        self._app = app
        self._keychain = keychain
        self._asks_for_keys = asks_for_keys(settings)
        self._rates = Rates()
        self._keyless = settings.rate_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or refuse it."""
        if scope["type"] == "http" and scope["path"] not in OPEN:
            try:
                scope.setdefault("state", {})[_CALLER] = await self._admit(scope)
            except (Problem, StoreUnavailableError) as error:
                await answer(of(error), scope["path"])(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _admit(self, scope: Scope) -> Caller:
        if not self._asks_for_keys:
            caller = Caller(NOBODY, frozenset(SCOPES), self._counted(self._keyless, f"address {address_of(scope)}"))
        else:
            text = _sent(Headers(scope=scope))
            if text is None:
                raise _unauthorised("send an API key, as Authorization: Bearer KEY or X-API-Key: KEY", 'realm="velox"')
            key = await self._keychain.check(text)
            if key is None:
                raise _unauthorised(
                    "there is no such API key, or it is revoked", 'realm="velox", error="invalid_token"'
                )
            caller = Caller(key.id, key.scopes, self._counted(key.rate, f"key {key.id}"))
        caller.take(1)
        return caller

    def _counted(self, rate: str, who: str) -> Callable[[int], None]:
        return partial(self._rates.take, Rate.parse(rate), who) if rate else _uncounted


def _may(scope: str) -> Callable[[Request], Awaitable[str]]:
    async def owner(request: Request) -> str:
        caller = caller_of(request)
        if scope not in caller.scopes:
            problem = Problem(HTTPStatus.FORBIDDEN, f"this API key is not for this: it needs the scope {scope}")
            problem.headers["WWW-Authenticate"] = f'Bearer realm="velox", error="insufficient_scope", scope="{scope}"'
            raise problem
        return caller.owner

    return owner


Submitter = Annotated[str, Depends(_may("submit"))]
"""The owner of what is asked, who may submit, and take back what was submitted."""
Reader = Annotated[str, Depends(_may("read"))]
"""The owner, who may look."""
Admin = Annotated[str, Depends(_may("admin"))]
"""The owner, who may have webhooks delivered again, and say what signs them."""


def caller_of(request: Request) -> Caller:
    """Answer who asks."""
    found: Caller = getattr(request.state, _CALLER)
    return found


def _uncounted(_count: int) -> None:
    """Let a client do it as often as it likes."""


def _sent(headers: Headers) -> str | None:
    """Find the key that came with a request; of both headers, the one that is a standard."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key")


def _unauthorised(detail: str, challenge: str) -> Problem:
    problem = Problem(HTTPStatus.UNAUTHORIZED, detail)
    problem.headers["WWW-Authenticate"] = f"Bearer {challenge}"
    return problem


def address_of(scope: Scope) -> str:
    """Answer by what a client without a key is known: its address, or its network where it has many of them."""
    host = (scope.get("client") or ("-",))[0]
    try:
        address = ip_address(host)
    except ValueError:
        return str(host)
    return str(int(address) >> _SUBNET_BITS) if isinstance(address, IPv6Address) else host
