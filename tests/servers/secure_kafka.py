"""A real broker as strict as in production: TLS, passwords and access control lists."""

from collections.abc import Iterable
from pathlib import Path

from confluent_kafka.admin import (  # type: ignore[attr-defined] # not in its __all__
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from tests.servers.certificates import Authority
from tests.servers.kafka import QUIET, KafkaServer, format_storage
from tests.servers.process import HOST, free_port

NAME = "localhost"
"""What the broker's certificate is made out to; its address, 127.0.0.1, is not in it."""
USER, STRANGER, ADMIN = "velox", "stranger", "broker"
PASSWORD = "s3cret-of-velox"  # noqa: S105 - of a broker that lives as long as a test
KEY_PASSWORD = "s3cret-of-the-key"  # noqa: S105 - the same
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"
_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
_MECHANISMS = ("SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN")


class SecureKafkaServer(KafkaServer):
    """Listens with SASL_SSL on `bootstrap`, and with SSL and client certificates on `mutual`.

    Nobody but its admin may do anything before `allow`. Of two users with the same password, one is to stay a stranger.
    """

    name = "secure-kafka"

    def __init__(self) -> None:
        super().__init__()
        self._mutual_port = free_port()
        self.authority = Authority.create(self.folder)
        self.client = self.authority.sign(self.folder, "client", password=KEY_PASSWORD)
        certificate, key = self.authority.sign(self.folder, "server", host=NAME)
        self._store = self.folder / "server-store.pem"
        self._store.write_text(key.read_text() + certificate.read_text())

    @property
    def bootstrap(self) -> str:
        return f"{NAME}:{self.port}"

    @property
    def mutual(self) -> str:
        return f"{NAME}:{self._mutual_port}"

    def velox_settings(self, user: str = USER) -> dict[str, str]:
        """Velox' settings for a user."""
        return {
            "KAFKA_BOOTSTRAP_SERVER": self.bootstrap,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "KAFKA_SASL_USERNAME": user,
            "KAFKA_SASL_PASSWORD": PASSWORD,
            "KAFKA_SSL_CA_LOCATION": str(self.authority.certificate),
        }

    def client_config(self, user: str = ADMIN) -> dict[str, str]:
        """The driver's configuration for a user."""
        return {
            "bootstrap.servers": self.bootstrap,
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": user,
            "sasl.password": PASSWORD,
            "ssl.ca.location": str(self.authority.certificate),
        }

    def allow(self, kind: ResourceType, name: str, operations: Iterable[AclOperation], *, user: str = USER) -> None:
        """Let a user do this with the resources whose names begin so."""
        admin = self._admin()
        pattern = ResourcePatternType.PREFIXED if kind != ResourceType.BROKER else ResourcePatternType.LITERAL
        rules = [
            AclBinding(kind, name, pattern, f"User:{user}", "*", operation, AclPermissionType.ALLOW)
            for operation in operations
        ]
        for done in admin.create_acls(rules).values():
            done.result(timeout=10)

    def _admin(self) -> AdminClient:
        return AdminClient({**self.client_config(), **QUIET})

    def _listeners(self) -> dict[str, str]:
        users = "".join(f' user_{user}="{PASSWORD}"' for user in (USER, STRANGER, ADMIN))
        login = f'username="{ADMIN}" password="{PASSWORD}"'
        jaas = "listener.name.client.{}.sasl.jaas.config"
        return {
            "listeners": f"CLIENT://{HOST}:{self.port},MUTUAL://{HOST}:{self._mutual_port},"
            f"CONTROLLER://{HOST}:{self.controller_port}",
            "advertised.listeners": f"CLIENT://{self.bootstrap},MUTUAL://{self.mutual}",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,CLIENT:SASL_SSL,MUTUAL:SSL",
            "inter.broker.listener.name": "CLIENT",
            "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
            "listener.name.client.sasl.enabled.mechanisms": ",".join(_MECHANISMS),
            jaas.format("scram-sha-256"): f"{_SCRAM} required {login};",
            jaas.format("scram-sha-512"): f"{_SCRAM} required {login};",
            jaas.format("plain"): f"{_PLAIN} required {login}{users};",
            "listener.name.mutual.ssl.client.auth": "required",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self._store),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.authority.certificate),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            # The broker itself comes through the controller's port, where nobody has a name.
            "super.users": f"User:{ADMIN};User:ANONYMOUS",
            "allow.everyone.if.no.acl.found": "false",
        }

    def _format(self, install: Path, _data: Path, properties: Path) -> None:
        options: list[str] = []
        for user in (USER, STRANGER, ADMIN):
            for mechanism in _MECHANISMS[:2]:
                options += ["--add-scram", f"{mechanism}=[name={user},password={PASSWORD}]"]
        format_storage(install, properties, *options)
