"""What a receiver of webhooks believes, and what not."""

import json
import time
from base64 import b64encode
from typing import Any

import pytest

from tests.requests import make_request
from velox.client import State, WebhookError, verify_webhook
from velox.requests.bodies import event_body, result_body
from velox.webhooks.signing import Signer

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
SECRET, OTHER_SECRET = (f"whsec_{b64encode(key).decode()}" for key in (KEY, OTHER))
BODY = json.dumps(event_body(make_request("r1")))


@pytest.fixture
def now() -> float:
    return time.time()


def signed(now: float, body: str = BODY, *keys: bytes, **changes: str) -> dict[str, str]:
    return Signer(keys or [KEY]).headers("r1", body, now) | {name.replace("_", "-"): v for name, v in changes.items()}


def test_a_signed_webhook_is_read(now: float) -> None:
    webhook = verify_webhook(BODY.encode(), signed(now), SECRET)
    assert webhook.id == "r1"
    assert webhook.body["type"] == "request.completed"
    assert webhook.request is not None
    assert (webhook.request.id, webhook.request.state, webhook.request.label) == ("r1", State.COMPLETED, "POSITIVE")


def test_headers_may_be_written_in_any_case_and_the_body_be_text(now: float) -> None:
    headers = {name.title(): value for name, value in signed(now).items()}
    assert verify_webhook(BODY, headers, SECRET).id == "r1"


def test_the_older_apis_body_is_read_as_it_is(now: float) -> None:
    body = json.dumps(result_body(make_request("r1")))
    webhook = verify_webhook(body, signed(now, body), SECRET)
    assert webhook.request is None
    assert webhook.body["status"] == "completed"


@pytest.mark.parametrize("secret", [f"{OTHER_SECRET},{SECRET}", [OTHER_SECRET, SECRET], (SECRET,)])
def test_one_of_several_secrets_is_enough(now: float, secret: Any) -> None:  # noqa: ANN401 - both forms
    assert verify_webhook(BODY, signed(now), secret).id == "r1"


def test_a_gateway_that_signs_with_two_secrets_is_believed_by_who_has_one(now: float) -> None:
    assert verify_webhook(BODY, signed(now, BODY, OTHER, KEY), SECRET).id == "r1"


@pytest.mark.parametrize(
    "changes",
    [
        {"webhook_id": "r2"},
        {"webhook_id": ""},
        {"webhook_timestamp": "0"},
        {"webhook_timestamp": "99999999999"},
        {"webhook_timestamp": "soon"},
        {"webhook_signature": ""},
        {"webhook_signature": "v1"},
        {"webhook_signature": "v1,@@@"},
        {"webhook_signature": "v1,a,b"},
        {"webhook_signature": "v1,é"},
        {"webhook_signature": "v2,aaaa"},
    ],
)
def test_what_is_not_signed_right_is_not_believed(now: float, changes: dict[str, str]) -> None:
    with pytest.raises(WebhookError, match="no webhook of this gateway"):
        verify_webhook(BODY, signed(now, **changes), SECRET)


@pytest.mark.parametrize("body", [BODY.replace("POSITIVE", "NEGATIVE").encode(), b"\xff\xfe", b""])
def test_a_body_that_was_changed_is_not_believed(now: float, body: bytes) -> None:
    with pytest.raises(WebhookError):
        verify_webhook(body, signed(now), SECRET)


def test_another_secret_is_not_believed(now: float) -> None:
    with pytest.raises(WebhookError):
        verify_webhook(BODY, signed(now), OTHER_SECRET)


def test_no_headers_are_not_believed() -> None:
    with pytest.raises(WebhookError):
        verify_webhook(BODY, {}, SECRET)


@pytest.mark.parametrize("body", ["[1]", "no JSON", '{"type": "request.completed", "data": {"id": "r1"}}'])
def test_what_is_signed_and_no_webhook_is_told(now: float, body: str) -> None:
    with pytest.raises(WebhookError):
        verify_webhook(body, signed(now, body), SECRET)


@pytest.mark.parametrize("secret", ["", [], "secret", "whsec_", "whsec_c2hvcnQ="])
def test_a_secret_that_is_none_is_the_receivers_own_fault(now: float, secret: Any) -> None:  # noqa: ANN401
    with pytest.raises(ValueError, match=r"secret|whsec_"):
        verify_webhook(BODY, signed(now), secret)
