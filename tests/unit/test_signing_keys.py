"""WEBHOOK_SECRET holds secrets of the Standard Webhooks convention, and nothing else."""

from base64 import b64encode

import pytest

from velox.core.signing_keys import signing_keys


def secret(key: bytes) -> str:
    return "whsec_" + b64encode(key).decode()


def test_none_one_or_two() -> None:
    new, old = bytes(range(32)), bytes(range(24))
    assert signing_keys("") == ()
    assert signing_keys(secret(new)) == (new,)
    assert signing_keys(f"{secret(new)}, {secret(old)}") == (new, old)
    assert signing_keys(secret(new).rstrip("=")) == (new,)


@pytest.mark.parametrize("text", [b64encode(bytes(32)).decode(), secret(bytes(23)), secret(bytes(65)), "whsec_§§"])
def test_what_is_no_secret_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ValueError, match="openssl rand") as refused:
        signing_keys(text)
    assert text.removeprefix("whsec_") not in str(refused.value)


def test_three_are_one_too_many() -> None:
    with pytest.raises(ValueError, match="3 secrets"):
        signing_keys(",".join(secret(bytes(24)) for _ in range(3)))
