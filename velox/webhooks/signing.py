"""Signs webhooks by the Standard Webhooks convention."""

from collections.abc import Sequence
from datetime import UTC, datetime

from standardwebhooks.webhooks import Webhook


class Signer:
    """Makes the headers that say which event it is, when it was sent and, with a secret, by whom."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Sign with each of these: a receiver needs one of them. None = unsigned."""
        self._webhooks = tuple(Webhook(key) for key in keys)

    def headers(self, identity: str, body: str, at: float) -> dict[str, str]:
        """Answer the headers of one attempt at Unix second ``at``; the id is the same in all attempts."""
        # The library takes any time for UTC, a local one too: so it gets UTC.
        moment = datetime.fromtimestamp(int(at), UTC)
        headers = {"webhook-id": identity, "webhook-timestamp": str(int(at))}
        if self._webhooks:
            signatures = (each.sign(identity, moment, body) for each in self._webhooks)
            headers["webhook-signature"] = " ".join(signatures)
        return headers
