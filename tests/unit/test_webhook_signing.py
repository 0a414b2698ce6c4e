"""A webhook is signed so that anybody who holds the secret can verify it without our code."""

import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from velox.core.signing_keys import check_signing_key, make_signing_key, signing_keys
from velox.webhooks.signing import Signer

NEW, OLD = bytes(range(32)), bytes(range(100, 124))
BODY = '{"label":"Straße 😀"}'


def independent(key: bytes, identity: str, at: int, body: str) -> str:
    """Sign as the specification says, by the standard library alone."""
    digest = hmac.new(key, f"{identity}.{at}.{body}".encode(), hashlib.sha256).digest()
    return "v1," + b64encode(digest).decode()


def test_the_signature_is_what_the_specification_says() -> None:
    headers = Signer([NEW]).headers("r1", BODY, 1_700_000_000.9)
    assert headers == {
        "webhook-id": "r1",
        "webhook-timestamp": "1700000000",
        "webhook-signature": independent(NEW, "r1", 1_700_000_000, BODY),
    }


def test_the_second_is_the_same_in_every_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    signature = Signer([NEW]).headers("r1", BODY, 1_700_000_000.0)["webhook-signature"]
    assert signature == independent(NEW, "r1", 1_700_000_000, BODY)
    assert datetime.fromtimestamp(1_700_000_000, UTC).hour == 22


def test_receivers_can_verify_as_the_page_says() -> None:
    page = (Path(__file__).parents[2] / "docs/webhooks.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    page_says: dict[str, Any] = {}
    exec(code, page_says)  # noqa: S102 - our own page
    secret = "whsec_" + b64encode(NEW).decode()
    headers = Signer([OLD, NEW]).headers("r1", BODY, time())
    assert page_says["is_genuine"](secret, headers, BODY.encode())
    assert not page_says["is_genuine"](secret, headers, BODY.encode() + b" ")
    assert not page_says["is_genuine"](secret, Signer([OLD]).headers("r1", BODY, time()), BODY.encode())
    assert not page_says["is_genuine"](secret, Signer([NEW]).headers("r1", BODY, time() - 600), BODY.encode())


def test_while_secrets_change_both_sign() -> None:
    headers = Signer([NEW, OLD]).headers("r1", BODY, time())
    assert len(headers["webhook-signature"].split(" ")) == 2
    for key in (NEW, OLD):
        Webhook(key).verify(BODY, headers, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(bytes(24)).verify(BODY, headers, json_parse=False)


def test_a_changed_body_does_not_verify() -> None:
    headers = Signer([NEW]).headers("r1", BODY, time())
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(BODY.replace("S", "s"), headers, json_parse=False)


def test_without_a_secret_there_is_no_signature() -> None:
    assert Signer([]).headers("r1", BODY, 0.0) == {"webhook-id": "r1", "webhook-timestamp": "0"}


def test_what_is_signed_is_not_the_base64_of_the_secret() -> None:
    signature = Signer([NEW]).headers("r1", BODY, 0.0)["webhook-signature"]
    assert b64decode(signature.removeprefix("v1,")) != NEW


def test_a_secret_that_is_made_is_one() -> None:
    made = make_signing_key()
    check_signing_key(made)
    assert made != make_signing_key()
    (key,) = signing_keys(made)
    assert len(key) == 32


@pytest.mark.parametrize("text", ["", ",", "whsec_", "secret", f"{make_signing_key()},{make_signing_key()}"])
def test_what_is_not_one_secret_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ValueError, match="has to be whsec_ and 24 to 64 bytes") as refused:
        check_signing_key(text)
    assert not text or text == "whsec_" or text not in str(refused.value).replace(", ", "")
