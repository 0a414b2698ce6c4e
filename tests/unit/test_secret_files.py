"""Secrets in files: one rule for every secret setting, and one clear line for what is wrong."""

from base64 import b64encode
from pathlib import Path

import pytest
from pydantic import SecretStr

from velox import settings
from velox.errors import SettingsError
from velox.settings import Settings, table
from velox.settings.secrets import secret_fields

SECRET = "hunter2"  # noqa: S105 - made up


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder without `.env` and an environment without secrets."""
    for name in secret_fields(Settings):
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(f"{name.upper()}_FILE", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    return path


def refusal() -> str:
    with pytest.raises(SettingsError) as caught:
        settings.load()
    return str(caught.value)


WITH_A_FORM = {
    "webhook_proxy": "http://user:word@proxy:3128",
    "webhook_secret": f"whsec_{b64encode(bytes(24)).decode()}",
}
"""Where not any text will do."""


@pytest.mark.parametrize("name", sorted(secret_fields(Settings)))
def test_every_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, mounted: Path, name: str) -> None:
    secret = WITH_A_FORM.get(name, SECRET)
    mounted.write_text(secret)
    monkeypatch.setenv(f"{name.upper()}_FILE", str(mounted))
    assert getattr(settings.load(), name).get_secret_value() == secret
    assert settings.origins()[name] == "environment"


def test_a_mark_of_utf_8_and_a_windows_line_end_are_no_part_of_the_secret(
    monkeypatch: pytest.MonkeyPatch, mounted: Path
) -> None:
    mounted.write_bytes(f"\ufeff{SECRET}ü\r\n".encode())
    monkeypatch.setenv("MONGO_URI_FILE", str(mounted))
    assert settings.load().mongo_uri.get_secret_value() == f"{SECRET}ü"


def test_the_settings_that_are_secrets() -> None:
    kafka = {"kafka_sasl_password", "kafka_ssl_key_password"}
    s3 = {"aws_secret_access_key", "aws_session_token"}
    assert secret_fields(Settings) == {
        "mongo_uri",
        *kafka,
        *s3,
        "dashboard_token",
        "keys_url",
        "postgres_dsn",
        "requests_url",
        "webhook_proxy",
        "webhook_secret",
    }


def test_what_is_no_secret_has_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("KAFKA_TOPIC_FILE=/run/topic\n")
    assert refusal().startswith("KAFKA_TOPIC_FILE: unknown setting")


def test_a_file_in_the_env_file_counts(tmp_path: Path, mounted: Path) -> None:
    (tmp_path / ".env").write_text(f"KAFKA_SASL_PASSWORD_FILE={mounted}\n")
    assert settings.load().kafka_sasl_password.get_secret_value() == SECRET
    assert settings.origins().get("kafka_sasl_password") == ".env"


def test_a_file_in_the_environment_wins_over_the_env_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mounted: Path
) -> None:
    (tmp_path / ".env").write_text("KAFKA_SASL_PASSWORD=other\n")
    monkeypatch.setenv("KAFKA_SASL_PASSWORD_FILE", str(mounted))
    assert settings.load().kafka_sasl_password.get_secret_value() == SECRET


def test_the_environment_wins_over_a_file_in_the_env_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("KAFKA_SASL_PASSWORD_FILE=/nowhere\n")
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", "other")
    assert settings.load().kafka_sasl_password == SecretStr("other")


def test_a_secret_and_its_file_in_one_place_are_one_too_many(monkeypatch: pytest.MonkeyPatch, mounted: Path) -> None:
    monkeypatch.setenv("MONGO_URI", "mongodb://a/")
    monkeypatch.setenv("MONGO_URI_FILE", str(mounted))
    assert refusal() == "MONGO_URI and MONGO_URI_FILE are both given: remove one"


def test_a_file_that_cannot_be_read_is_told_without_its_name_which_may_be_the_secret_by_mistake(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MONGO_URI_FILE", "/nowhere")
    said = "MONGO_URI_FILE takes the path of a file, and what it names cannot be read: No such file or directory"
    assert refusal() == said
    (tmp_path / "utf-16").write_text(SECRET, encoding="utf-16")
    monkeypatch.setenv("MONGO_URI_FILE", str(tmp_path / "utf-16"))
    assert refusal().endswith("cannot be read: it is not UTF-8; save it as UTF-8")
    (tmp_path / "empty").write_text("\n")
    monkeypatch.setenv("MONGO_URI_FILE", str(tmp_path / "empty"))
    assert refusal().endswith("the file is empty")


def test_a_secret_from_a_file_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, mounted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KAFKA_SASL_PASSWORD_FILE", str(mounted))
    table.show()
    shown = capsys.readouterr().out
    assert "KAFKA_SASL_PASSWORD " in shown
    assert SECRET not in shown


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "KAFKA_SECURITY_PROTOCOL=SASL_SSL needs KAFKA_SASL_USERNAME and"),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "KAFKA_SASL_USERNAME": "me"},
            "KAFKA_SECURITY_PROTOCOL=SASL_PLAINTEXT needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD",
        ),
        ({"KAFKA_SECURITY_PROTOCOL": "TLS"}, "KAFKA_SECURITY_PROTOCOL=TLS: "),
        ({"KAFKA_SASL_MECHANISM": "GSSAPI"}, "KAFKA_SASL_MECHANISM=GSSAPI: "),
        (
            {"KAFKA_SSL_KEY_LOCATION": "key.pem"},
            "KAFKA_SSL_CERTIFICATE_LOCATION and KAFKA_SSL_KEY_LOCATION go together",
        ),
    ],
)
def test_settings_of_security_that_do_not_fit_together_stop_the_start(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], said: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert refusal().startswith(said)
