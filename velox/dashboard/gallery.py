"""What the gallery and a record's page ask for."""

import asyncio
from hashlib import sha256
from http import HTTPStatus
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from velox.dashboard.parts import Parts
from velox.dashboard.queries import MOST_ROWS, Cursor, Results, Wanted
from velox.errors import SettingsError

_ROWS: Final = 60
_AGREED: Final = {"": None, "agreed": True, "wrong": False}


async def _records(request: Request) -> Response:
    results = _results(request)
    asked = request.query_params
    page = await asyncio.to_thread(
        results.page,
        _wanted(request),
        Cursor.parse(asked.get("after", "")),
        min(MOST_ROWS, max(1, int(_number(asked.get("limit")) or _ROWS))),
    )
    return JSONResponse(
        {
            "rows": [row.shown() for row in page.rows],
            "next": str(page.next) if page.next else None,
            "store": results.name,
            "absent": sorted(results.absent),
        }
    )


async def _summary(request: Request) -> Response:
    found = await asyncio.to_thread(_results(request).summary, _wanted(request))
    return JSONResponse({"labels": dict(found.labels), "confidence": list(found.confidence), "of": found.of})


async def _record(request: Request) -> Response:
    results = _results(request)
    row = await asyncio.to_thread(results.find, request.path_params["id"])
    if row is None:
        return _unknown(request)
    newer, older = await asyncio.to_thread(results.beside, row)
    return JSONResponse({**row.shown(), "more": dict(row.more), "newer": newer, "older": older})


async def _media(request: Request) -> Response:
    """Answer a record's payload: an image, or plain text. A browser that has it is not sent it again."""
    parts: Parts = request.app.state.parts
    row = await asyncio.to_thread(_results(request).find, request.path_params["id"])
    if row is None:
        return _unknown(request)
    tag = f'"{sha256(f"{row.id} {row.topic} {row.partition} {row.offset}".encode()).hexdigest()[:20]}"'
    kept = {"ETag": tag, "Cache-Control": "private, max-age=3600"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=kept)
    found = await asyncio.to_thread(parts.media.of, row)
    if found is None:
        return JSONResponse({"detail": "its payload is nowhere any more"}, status_code=HTTPStatus.NOT_FOUND)
    return Response(found.payload, media_type=found.kind, headers=kept)


def _results(request: Request) -> Results:
    parts: Parts = request.app.state.parts
    if parts.results is None:
        raise SettingsError("SINKS has neither sqlite nor postgres, whose results the dashboard reads; add one")
    return parts.results


def _wanted(request: Request) -> Wanted:
    asked = request.query_params
    return Wanted(
        label=asked.get("label", ""),
        least=_number(asked.get("least")),
        most=_number(asked.get("most")),
        since=_number(asked.get("since")),
        until=_number(asked.get("until")),
        version=asked.get("version", ""),
        camera=asked.get("camera", ""),
        agreed=_AGREED.get(asked.get("verdict", "")),
        detections=asked.get("detections") == "1",
    )


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "nan")
    except ValueError:
        return None
    return number if abs(number) < 1e15 else None  # noqa: PLR2004 - what is larger is no time, and NaN is none either


def _unknown(request: Request) -> Response:
    why: dict[str, Any] = {"detail": f"there is no stored result {request.path_params['id']}"}
    return JSONResponse(why, status_code=HTTPStatus.NOT_FOUND)


ROUTES: Final = (
    Route("/api/records", _records),
    Route("/api/summary", _summary),
    Route("/api/records/{id:path}", _record),
    Route("/media/{id:path}", _media),
)
