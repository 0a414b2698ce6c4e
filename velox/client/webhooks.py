"""Checks that a webhook comes from your gateway."""

import json
from collections.abc import Mapping, Sequence

from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from velox.client import reading
from velox.client.errors import UnreadableError, WebhookError
from velox.client.values import Webhook
from velox.core.signing_keys import signing_keys


def verify_webhook(body: bytes | str, headers: Mapping[str, str], secret: str | Sequence[str]) -> Webhook:
    """Check the signature of a webhook, and read it.

    Args:
        body: exactly as it came: what was parsed and written again is not what was signed.
        headers: by their names, in any case.
        secret: what the gateway has as WEBHOOK_SECRET, ``whsec_…``; several, as a sequence or after commas, while one
            takes the place of another.

    Raises:
        WebhookError: it is signed with none of the secrets, was changed, is no webhook, or is more than five minutes
            away from this machine's clock.
        ValueError: a secret is none.
    """
    keys = [key for each in ([secret] if isinstance(secret, str) else secret) for key in signing_keys(each)]
    if not keys:
        msg = "no secret is given: without one, everybody could have sent this webhook"
        raise ValueError(msg)
    names = {name.lower(): value for name, value in headers.items()}
    problem: Exception | None = None
    for key in keys:
        try:
            # The library raises ValueError for headers and bodies that make no sense.
            Verifier(key).verify(body, names, json_parse=False)
            return _read(body, names["webhook-id"])
        except (WebhookVerificationError, ValueError) as error:
            problem = error
    raise WebhookError(f"no webhook of this gateway: {problem}") from problem


def _read(body: bytes | str, identity: str) -> Webhook:
    said = json.loads(body)
    if not isinstance(said, dict):
        raise WebhookError("the webhook is signed, but its body is no JSON object")
    data = said.get("data")
    try:
        request = reading.request(data) if isinstance(data, dict) and "type" in said else None
    except UnreadableError as error:
        raise WebhookError(f"the webhook is signed, but {error}") from error
    return Webhook(identity, said, request)
