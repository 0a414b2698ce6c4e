"""The web application: the page, its files, and what they ask for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from velox import __version__
from velox.dashboard.access import COOKIE, Access, cookie_of, is_token
from velox.dashboard.gallery import ROUTES as GALLERY
from velox.dashboard.letters import ROUTES as LETTERS
from velox.dashboard.parts import Parts
from velox.dashboard.wall import ROUTES as WALL
from velox.errors import BadRecordError, SettingsError, VeloxError

_STATIC: Final = Path(str(files("velox.dashboard") / "static"))
VIEWS: Final = ("/", "/gallery", "/record/{id:path}", "/wall", "/letters", "/login")
"""Each has a URL that can be sent to a colleague; the page's script shows which it is."""
_WAIT_S: Final = 10.0
_DAY_S: Final = 86_400


def build(parts: Parts) -> ASGIApp:
    """Make the application.

    Raises:
        SettingsError: it would be open to others.
    """

    @asynccontextmanager
    async def living(_app: Starlette) -> AsyncIterator[None]:
        looking = asyncio.create_task(parts.feed.run())
        yield
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking

    app = Starlette(
        routes=[
            *(Route(path, _page) for path in VIEWS),
            Route("/api/health", _health),
            Route("/api/login", _login, methods=["POST"]),
            Route("/api/live", _live),
            *GALLERY,
            *LETTERS,
            *WALL,
            Mount("/static", StaticFiles(directory=_STATIC)),
        ],
        exception_handlers={VeloxError: _failed},
        lifespan=living,
    )
    app.state.parts = parts
    return Access(app, parts.settings)


async def _page(_request: Request) -> Response:
    return FileResponse(_STATIC / "index.html", headers={"Cache-Control": "no-cache"})


async def _health(_request: Request) -> Response:
    return JSONResponse({"service": "dashboard", "status": "healthy", "version": __version__})


async def _login(request: Request) -> Response:
    parts: Parts = request.app.state.parts
    token = parts.settings.dashboard_token.get_secret_value()
    sent = (await request.body())[:1000].decode(errors="replace")
    if not token or not is_token(sent, token):
        return JSONResponse({"detail": "that is not DASHBOARD_TOKEN"}, status_code=HTTPStatus.UNAUTHORIZED)
    answer = Response(status_code=HTTPStatus.NO_CONTENT)
    is_encrypted = request.url.scheme == "https"
    answer.set_cookie(COOKIE, cookie_of(token), max_age=_DAY_S, httponly=True, samesite="strict", secure=is_encrypted)
    return answer


async def _live(request: Request) -> Response:
    """Answer the newest state as soon as it is another than the browser has: by asking, it says that it has that."""
    parts: Parts = request.app.state.parts
    try:
        number = int(request.query_params.get("after", "0"))
    except ValueError:
        number = 0
    return JSONResponse(await parts.feed.after(number, wait_s=_WAIT_S), headers={"Cache-Control": "no-store"})


async def _failed(_request: Request, error: Exception) -> Response:
    status = HTTPStatus.SERVICE_UNAVAILABLE
    if isinstance(error, SettingsError | BadRecordError):
        status = HTTPStatus.UNPROCESSABLE_ENTITY
    return JSONResponse({"detail": str(error)}, status_code=status)
