"""Certificates for one test run: an authority, and keys it signed; made with the `openssl` command."""

from dataclasses import dataclass
from pathlib import Path

from tests.servers.jars import run

_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "2")


@dataclass(frozen=True)
class Authority:
    """Whoever trusts `certificate` trusts what it signed."""

    certificate: Path
    key: Path

    @classmethod
    def create(cls, folder: Path, name: str = "ca") -> "Authority":
        made = cls(folder / f"{name}.pem", folder / f"{name}.key")
        subject = ("-subj", f"/CN=velox test {name}")
        run(
            "openssl",
            "req",
            "-x509",
            *_NEW_KEY,
            "-nodes",
            *subject,
            "-keyout",
            str(made.key),
            "-out",
            str(made.certificate),
        )
        return made

    def sign(
        self, folder: Path, name: str, *, host: str = "", password: str = "", organisation: str = ""
    ) -> tuple[Path, Path]:
        """Make a key and its certificate, for a server with `host`; encrypted with `password` if there is one."""
        certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
        signer = ("-CA", str(self.certificate), "-CAkey", str(self.key))
        kind = "IP" if host.replace(".", "").isdigit() else "DNS"
        extension = ("-addext", f"subjectAltName={kind}:{host}") if host else ()
        subject = f"/O={organisation}/CN={name}" if organisation else f"/CN={name}"
        secret = ("-passout", f"pass:{password}") if password else ("-nodes",)
        paths = ("-keyout", str(key), "-out", str(certificate))
        run("openssl", "req", "-x509", *signer, *_NEW_KEY, *secret, "-subj", subject, *extension, *paths)
        return certificate, key
