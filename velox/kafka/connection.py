"""How every client connects: one place for addresses, encryption, user and password, and for being refused."""

import logging
import socket
import ssl
from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient

from velox.core.deadline import Deadline
from velox.errors import SettingsError
from velox.kafka.reachability import unreachable
from velox.settings import ClientSettings

log = logging.getLogger(__name__)

_TLS: Final = {
    "kafka_ssl_ca_location": "ssl.ca.location",
    "kafka_ssl_certificate_location": "ssl.certificate.location",
    "kafka_ssl_key_location": "ssl.key.location",
    "kafka_ssl_key_password": "ssl.key.password",
}
_LOGIN: Final = {
    "kafka_sasl_mechanism": "sasl.mechanism",
    "kafka_sasl_username": "sasl.username",
    "kafka_sasl_password": "sasl.password",
}
"""Our settings by the names librdkafka has for them."""
_WRONG_LOGIN: Final = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED})
_NO_ANSWER: Final = frozenset({KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN})
_PROBE_S: Final = 2.0
_LEAST_S: Final = 0.1


def connection(settings: ClientSettings, client_id: str) -> dict[str, Any]:
    """Configure the part of a client that all clients have in common.

    Host names are verified wherever there is encryption. librdkafka's own log is off: what goes wrong is told to
    ``error_cb``. A client without one of its own notes it at DEBUG, since its requests fail with the same.

    Raises:
        SettingsError: a certificate or key is of no use.
    """
    protocol = settings.kafka_security_protocol
    config: dict[str, Any] = {
        "bootstrap.servers": settings.kafka_bootstrap_server,
        "client.id": client_id,
        "security.protocol": protocol,
        "log_level": 0,
        "error_cb": _note,
    }
    if protocol.endswith("SSL"):
        _check_files(settings)
        config |= _given(settings, _TLS)
    if protocol.startswith("SASL"):
        config |= _given(settings, _LOGIN)
    return config


class Admin:
    """A client for questions about the cluster, which notices when it is refused. Not thread-safe."""

    def __init__(self, settings: ClientSettings) -> None:
        """Make the client; it connects when first asked.

        Raises:
            SettingsError: a certificate or key is of no use.
        """
        self._settings = settings
        self._errors: list[KafkaError] = []
        self._telling: KafkaError | None = None
        """What the connection met last; the driver does not repeat it each time."""
        config = connection(settings, "velox-admin")
        config["error_cb"] = self._errors.append
        self.client = AdminClient(config)

    def explain(self, error: KafkaError) -> str:
        """Say why a request failed: what the connection met is more telling than that there was no answer.

        Raises:
            SettingsError: the broker refuses us; trying again does not help.
        """
        self.client.poll(0)
        errors, self._errors[:] = [*self._errors], []
        for met in errors:
            refusal = refusal_of(met)
            if refusal:
                raise SettingsError(refusal)
        if error.code() not in _NO_ANSWER:
            return error.str()
        self._telling = next((met for met in reversed(errors) if met.code() == KafkaError._TRANSPORT), self._telling)
        if self._telling:
            return unreachable(self._telling, self._settings.kafka_bootstrap_server) or self._telling.str()
        _check_protocol(self._settings)
        return f"{error.str()}, or KAFKA_SECURITY_PROTOCOL={self._settings.kafka_security_protocol} is not its protocol"


def refusal_of(error: KafkaError) -> str | None:
    """Say which setting to correct when a broker refuses the connection; None for what may pass by itself."""
    if error.code() in _WRONG_LOGIN:
        names = "KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and KAFKA_SASL_MECHANISM"
    elif error.code() == KafkaError._SSL:
        names = (
            "KAFKA_SSL_CA_LOCATION, and that KAFKA_BOOTSTRAP_SERVER is a name the broker's certificate is made out to"
        )
    elif "SSL alert number" in error.str():
        names = "KAFKA_SSL_CERTIFICATE_LOCATION: this broker wants a certificate it trusts"
    else:
        return None
    return f"Kafka refuses the connection ({error.str()}); check {names}"


def _check_protocol(settings: ClientSettings) -> None:
    """Tell a broker that only speaks TLS from one that is down: a client without TLS sees no difference."""
    protocol = settings.kafka_security_protocol
    deadline = Deadline(_PROBE_S)
    for address in settings.kafka_bootstrap_server.split(","):
        if not protocol.endswith("SSL") and _speaks_tls(address.strip(), deadline.left_s()):
            msg = (
                f"KAFKA_SECURITY_PROTOCOL={protocol}: the broker at {address.strip()} expects encryption; set SASL_SSL "
                "(with user and password) or SSL (without)"
            )
            raise SettingsError(msg)


def _speaks_tls(address: str, within_s: float) -> bool:
    host, _, port = address.rpartition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Nothing is sent, and nothing read is believed: the question is only whether TLS is what it answers with.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host.strip("[]"), int(port)), timeout=max(within_s, _LEAST_S)) as plain,
            context.wrap_socket(plain, server_hostname=host.strip("[]")),
        ):
            return True
    except (OSError, ValueError):
        return False


def _note(error: KafkaError) -> None:
    log.debug("Kafka: %s", error.str())


def _given(settings: ClientSettings, names: Mapping[str, str]) -> dict[str, str]:
    values = {name: getattr(settings, field) for field, name in names.items()}
    plain = {n: v.get_secret_value() if hasattr(v, "get_secret_value") else v for n, v in values.items()}
    return {name: value for name, value in plain.items() if value}


def _check_files(settings: ClientSettings) -> None:
    """Load them once with Python's own TLS: a driver's words for what is wrong with one are not ours."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority, certificate = settings.kafka_ssl_ca_location, settings.kafka_ssl_certificate_location
    key, password = settings.kafka_ssl_key_location, settings.kafka_ssl_key_password.get_secret_value()
    try:
        if authority:
            context.load_verify_locations(authority)
    except OSError as error:
        msg = f"KAFKA_SSL_CA_LOCATION={authority}: no file of PEM certificates that can be read ({_why(error)})"
        raise SettingsError(msg) from None
    try:
        if certificate:
            context.load_cert_chain(certificate, key, password)  # without a password, it would ask the terminal for one
    except OSError as error:
        msg = (
            f"KAFKA_SSL_CERTIFICATE_LOCATION={certificate}, KAFKA_SSL_KEY_LOCATION={key}: no PEM certificate and its "
            f"key, or not the right KAFKA_SSL_KEY_PASSWORD ({_why(error)})"
        )
        raise SettingsError(msg) from None


def _why(error: OSError) -> str:
    return (error.reason if isinstance(error, ssl.SSLError) else error.strerror) or type(error).__name__
