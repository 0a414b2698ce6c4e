"""Who may see the page, and what a browser may do with it: before anything else, for every path."""

import hashlib
import hmac
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from velox.errors import SettingsError
from velox.settings.dashboard import DashboardSettings
from velox.web.listening import is_loopback

COOKIE: Final = "velox-dashboard"
CHANGING: Final = "x-velox-dashboard"
"""A header that every change carries: a page from elsewhere cannot send it without being asked first."""
_OPEN: Final = frozenset({"/api/health", "/api/login", "/login"})
_SAFE: Final = frozenset({"GET", "HEAD"})
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""What anybody wrote into a record is never run: no script but ours, nothing inline, nothing from elsewhere."""


class Access:
    """ASGI middleware: lets those through who may look, and answers with headers that keep browsers strict."""

    def __init__(self, app: ASGIApp, settings: DashboardSettings) -> None:
        """Stand before an app.

        Raises:
            SettingsError: others than this machine could reach it, and nobody would be asked for anything.
        """
        self._app = app
        self._token = settings.dashboard_token.get_secret_value()
        if not self._token and not is_loopback(settings.dashboard_host):
            msg = f"DASHBOARD_HOST={settings.dashboard_host} is reached by others: set DASHBOARD_TOKEN, or take"
            raise SettingsError(f"{msg} DASHBOARD_HOST=127.0.0.1")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def strict(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, strict)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        if not self._token and not is_loopback(host):  # a name of somebody's that points here
            return _no(HTTPStatus.MISDIRECTED_REQUEST, "without DASHBOARD_TOKEN, this page is at localhost alone")
        if scope["method"] not in _SAFE:
            origin = headers.get("origin")
            if CHANGING not in headers or (origin and urlsplit(origin).netloc != headers.get("host")):
                return _no(HTTPStatus.FORBIDDEN, f"changes come from this page alone, with the header {CHANGING}")
        if not self._token or scope["path"] in _OPEN or scope["path"].startswith("/static/"):
            return None
        if self._is_known(Request(scope)):
            return None
        if scope["path"].startswith(("/api/", "/media/")):
            return _no(HTTPStatus.UNAUTHORIZED, "log in with DASHBOARD_TOKEN")
        return Response(status_code=HTTPStatus.SEE_OTHER, headers={"Location": "/login"})

    def _is_known(self, request: Request) -> bool:
        scheme, _, sent = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and is_token(sent.strip(), self._token):
            return True
        return is_token(request.cookies.get(COOKIE, ""), cookie_of(self._token))


def cookie_of(token: str) -> str:
    """Make what a browser keeps: it proves the token, and is not the token."""
    return hmac.new(token.encode(), b"velox-dashboard", hashlib.sha256).hexdigest()


def is_token(sent: str, token: str) -> bool:
    """Compare in a time that tells nothing."""
    return hmac.compare_digest(sent.encode(), token.encode())


def _no(status: HTTPStatus, why: str) -> Response:
    return JSONResponse({"detail": why}, status_code=status)
