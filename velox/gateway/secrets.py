"""What signs the webhooks of a destination, where it has a secret of its own: a route of ``/v1``."""

import time
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from velox.core.addresses import target
from velox.core.signing_keys import check_signing_key, make_signing_key
from velox.errors import ForbiddenAddressError
from velox.gateway.access import Admin
from velox.gateway.parts import Here
from velox.gateway.problems import Problem, unprocessable
from velox.gateway.schemas import NewSecret, SecretBody, SecretList
from velox.gateway.v1 import problems
from velox.requests.bodies import iso
from velox.requests.rows import Secret

router = APIRouter(prefix="/v1/webhooks/secrets", tags=["v1"])


@router.get("", response_model=SecretList, responses=problems(503))
async def look(gateway: Here, owner: Admin) -> dict[str, Any]:
    """List the destinations that have secrets of their own; the secrets are not shown."""
    found = await gateway.on_store(lambda: gateway.store.secrets.all(owner))
    return {"secrets": [_body(each) for each in found]}


@router.put("", response_model=SecretBody, responses=problems(422, 503))
async def replace(body: NewSecret, gateway: Here, owner: Admin) -> dict[str, Any]:
    """Give a destination of webhooks a secret of its own, and show it; the one before signs on for a while."""
    destination, secret = _origin(body.destination), make_signing_key() if body.secret is None else body.secret
    try:
        check_signing_key(secret)
    except ValueError as error:
        raise unprocessable(f"secret: {error}", "secret") from error
    made = await gateway.on_store(
        lambda: gateway.store.secrets.replace(owner, destination, secret, at=time.time(), keep_s=body.keep_s)
    )
    return {**_body(made), "secret": secret}


@router.delete("", status_code=204, responses=problems(404, 422, 503))
async def remove(
    gateway: Here, owner: Admin, destination: Annotated[str, Query(min_length=1, max_length=2000)]
) -> Response:
    """Have webhooks to a destination signed as all others."""
    origin = _origin(destination)
    if not await gateway.on_store(lambda: gateway.store.secrets.remove(owner, origin)):
        raise Problem(HTTPStatus.NOT_FOUND, f"{origin} has no secret of its own")
    return Response(status_code=204)


def _origin(url: str) -> str:
    try:
        return target(url).origin
    except ForbiddenAddressError as error:
        raise unprocessable(f"destination: {error}", "destination") from error


def _body(secret: Secret) -> dict[str, Any]:
    is_kept = bool(secret.before) and secret.before_until > time.time()
    return {
        "destination": secret.destination,
        "changed_at": iso(secret.changed_at),
        "before_until": iso(secret.before_until) if is_kept else None,
    }
