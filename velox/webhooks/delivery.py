"""One attempt to deliver: POST the result, and see what comes back."""

import asyncio
import json
import ssl
from time import time
from typing import Final

import httpcore2

from velox import __version__
from velox.core.addresses import Target, target
from velox.core.ladder import Answer, Cause, retry_after_s
from velox.core.signing_keys import signing_keys
from velox.errors import ForbiddenAddressError
from velox.requests.bodies import event_body, result_body
from velox.requests.rows import Claim, Request
from velox.webhooks.signing import Signer

MAX_ANSWER_BYTES: Final = 64 * 1024
"""So much of an answer is read, so that its connection can be used again; it is of no interest."""
_KEEP_S: Final = 2.0
"""For so long a connection is used again: many servers close theirs after five seconds, perhaps just as it is used."""
_REDIRECTS: Final = range(300, 400)
_MAX_ERROR: Final = 200


class Delivery:
    """Posts results. Follows no redirect, and takes no longer than its time, all in all."""

    def __init__(
        self,
        backend: httpcore2.AsyncNetworkBackend,
        signer: Signer,
        *,
        timeout_s: float,
        connections: int,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Connect by ``backend``, which says where to; check certificates by ``tls``, or as this machine does."""
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls or httpcore2.default_ssl_context(),
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=_KEEP_S,
            network_backend=backend,
        )
        self._signer = signer
        self._timeout_s = timeout_s

    async def deliver(self, claim: Claim) -> Answer:
        """Make the attempt that was claimed, signed by the destination's own secret if it has one."""
        return await self.post(claim.request, claim.secret)

    async def post(self, request: Request, secret: str = "") -> Answer:
        """Deliver the result of a request that is done; whatever goes wrong is in the answer.

        A ``secret``, or two with a comma between, signs it instead of what signs all others.
        """
        try:
            to = target(request.webhook_url or "")
            async with asyncio.timeout(self._timeout_s):
                return await self._send(to, request, Signer(signing_keys(secret)) if secret else self._signer)
        except TimeoutError:
            return Answer(cause=Cause.TIMEOUT, error=f"no whole answer within {self._timeout_s:g} s")
        except ForbiddenAddressError as error:
            return Answer(cause=Cause.REFUSED, error=_short(error))
        except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException, OSError) as error:
            return Answer(cause=Cause.UNREACHABLE, error=_short(error))

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.aclose()

    async def _send(self, to: Target, request: Request, signer: Signer) -> Answer:
        body = write(request)
        now = time()
        headers = {
            "Host": to.netloc,
            "User-Agent": f"velox/{__version__}",
            "Content-Type": "application/json",
            "Content-Length": str(len(body.encode())),
            "Accept": "*/*",
            **signer.headers(request.id, body, now),
        }
        async with self._pool.stream(
            "POST",
            httpcore2.URL(scheme=to.scheme, host=to.host, port=to.port, target=to.path),
            headers=list(headers.items()),
            content=body.encode(),
        ) as response:
            read = 0
            async for part in response.aiter_stream():
                read += len(part)
                if read > MAX_ANSWER_BYTES:
                    break
            return _judge(response, now)


def write(request: Request) -> str:
    """Write the body in the form that the request asks for; the same at each attempt."""
    body = result_body(request) if request.webhook_form == "plain" else event_body(request)
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def _judge(response: httpcore2.Response, now: float) -> Answer:
    status = response.status
    answer = Answer(status)
    if answer.is_success:
        return answer
    asked = next((value for name, value in response.headers if name.lower() == b"retry-after"), b"")
    error = f"answered {status}"
    if status in _REDIRECTS:
        error += ": redirects are not followed, give the URL that it leads to"
    return Answer(status, Cause.STATUS, retry_after_s(asked.decode("latin-1"), now), error)


def _short(error: BaseException) -> str:
    return (str(error) or type(error).__name__)[:_MAX_ERROR]
