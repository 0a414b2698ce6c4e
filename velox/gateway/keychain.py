"""Which API keys are good, remembered for half a minute."""

import hmac
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from time import monotonic
from typing import Final

from velox.core.api_keys import read_key
from velox.requests.grouping import Grouping
from velox.requests.rows import Key

REMEMBERED_S: Final = 30.0
"""So long a key that was revoked may still be used."""
_MOST: Final = 10_000
"""Keys that are remembered; strangers' wrong ones too, which cost no more than a question to the store each."""


class Keychain:
    """Checks keys against the store. For one event loop; the store is asked on threads of the executor."""

    def __init__(
        self,
        find: Callable[[Sequence[str]], Mapping[str, Key]],
        *,
        executor: Executor,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Keep how the store is asked for keys by their ids; nothing is asked yet."""

        def find_all(ids: list[str]) -> Sequence[Key | None]:
            found = find(ids)
            return [found.get(identity) for identity in ids]

        self._found: Grouping[str, Key | None] = Grouping(find_all, executor=executor)
        self._clock = clock
        self._known: dict[str, tuple[float, Key | None]] = {}
        """By id: until when, and the key; None where there is none."""

    async def check(self, text: str) -> Key | None:
        """Answer the key that a client sent; None when there is none like it, or it is revoked.

        Raises:
            StoreUnavailableError: nobody knows.
        """
        sent = read_key(text)
        if sent is None:
            return None
        key = await self._look(sent.id)
        if key is None or key.revoked_at is not None or not hmac.compare_digest(key.hash, sent.hash):
            return None
        return key

    async def _look(self, identity: str) -> Key | None:
        until, key = self._known.get(identity, (0.0, None))
        if self._clock() < until:
            return key
        self._known.pop(identity, None)
        key = await self._found.ask(identity)
        while len(self._known) >= _MOST:
            del self._known[next(iter(self._known))]
        self._known[identity] = (self._clock() + REMEMBERED_S, key)
        return key
