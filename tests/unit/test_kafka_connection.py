"""What every client is told of addresses, encryption and passwords, and what is made of a refusal."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError

import velox.kafka
from tests.servers.certificates import Authority
from velox.errors import SettingsError
from velox.kafka.connection import connection, refusal_of
from velox.settings import Settings

LOGIN = {"kafka_sasl_username": "me", "kafka_sasl_password": "hunter2"}
Make = Callable[..., Settings]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def certificate(authority: Authority) -> str:
    return str(authority.certificate)


def security(protocol: str, **settings: Any) -> dict[str, Any]:  # noqa: ANN401 - any setting
    config = connection(Settings(kafka_security_protocol=protocol, **settings), "test")
    return {name: value for name, value in config.items() if name.startswith(("sasl", "ssl", "security"))}


def test_without_security_nothing_of_it_is_configured(certificate: str) -> None:
    assert security("PLAINTEXT", **LOGIN, kafka_ssl_ca_location=certificate) == {"security.protocol": "PLAINTEXT"}


def test_a_password_is_sent_only_where_the_protocol_has_one(certificate: str) -> None:
    assert security("SSL", **LOGIN, kafka_ssl_ca_location=certificate) == {
        "security.protocol": "SSL",
        "ssl.ca.location": certificate,
    }
    assert security("SASL_SSL", **LOGIN, kafka_ssl_ca_location=certificate) == {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "me",
        "sasl.password": "hunter2",
        "ssl.ca.location": certificate,
    }


def test_a_file_that_is_not_there_is_named_before_any_client_is_made(tmp_path: Path) -> None:
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("no certificate")
    for path in ("/nowhere/ca.pem", str(tmp_path), str(rubbish)):
        with pytest.raises(SettingsError, match=f"KAFKA_SSL_CA_LOCATION={path}: no file of PEM certificates"):
            security("SSL", kafka_ssl_ca_location=path)


def test_a_key_that_does_not_fit_its_certificate_or_its_password_is_named(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.sign(tmp_path, "mine", password="hunter2")  # noqa: S106 - made up
    _, other = authority.sign(tmp_path, "other")

    def secured(key: Path, password: str) -> dict[str, Any]:
        files = {"kafka_ssl_certificate_location": str(certificate), "kafka_ssl_key_location": str(key)}
        return security("SSL", **files, kafka_ssl_key_password=password)

    assert secured(key, "hunter2")["ssl.key.password"] == "hunter2"
    for wrong in ((key, "hunter3"), (key, ""), (other, ""), (tmp_path / "nowhere", "")):
        with pytest.raises(SettingsError, match="or not the right KAFKA_SSL_KEY_PASSWORD") as refused:
            secured(*wrong)
        assert "hunter" not in str(refused.value)


@pytest.mark.parametrize(
    ("code", "text", "name"),
    [
        (KafkaError._AUTHENTICATION, "SASL authentication error", "KAFKA_SASL_PASSWORD"),
        (KafkaError._SSL, "certificate verify failed", "KAFKA_SSL_CA_LOCATION"),
        (KafkaError._TRANSPORT, "SSL alert number 42", "KAFKA_SSL_CERTIFICATE_LOCATION"),
    ],
)
def test_a_refusal_names_the_setting_to_correct(code: int, text: str, name: str) -> None:
    assert name in str(refusal_of(KafkaError(code, text)))


@pytest.mark.parametrize("code", [KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE])
def test_what_may_pass_is_no_refusal(code: int) -> None:
    assert refusal_of(KafkaError(code, "Connection refused")) is None


def sources() -> Iterator[Path]:
    return Path(velox.kafka.__file__).parent.glob("*.py")


def test_one_place_says_how_to_connect() -> None:
    """The embedded broker is no connection: it has to be given an address, and does not use it."""
    saying = {
        path.name for path in sources() if re.search(r'"(bootstrap\.servers|sasl\.|ssl\.|security\.)', path.read_text())
    }
    assert saying == {"connection.py", "embedded.py"}
