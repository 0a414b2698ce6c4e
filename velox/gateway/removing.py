"""Cancelling a request that has no result, and removing one that has."""

import time

from velox.core.states import State
from velox.gateway.parts import Gateway
from velox.requests.rows import Request


async def remove(gateway: Gateway, request_id: str, owner: str) -> Request | None:
    """Cancel or remove a request; answer it as it was before, None when there is none of this owner.

    Raises:
        StoreUnavailableError: nobody knows whether it was done.
    """
    before = await gateway.on_store(lambda: gateway.store.cancel(request_id, owner, time.time()))
    if before is not None and before.state is State.PENDING:
        gateway.metrics.requests.labels(before.model, "cancelled").inc()
    return before
