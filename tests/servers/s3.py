"""A real S3 server as a local process: versitygw, which checks signatures and keeps objects as files."""

from pathlib import Path
from typing import ClassVar

from tests.servers.go import go_program
from tests.servers.process import HOST, LocalServer

MODULE = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"
ACCESS_KEY, SECRET_KEY = "velox-tests", "only-for-tests"
REGION = "us-east-1"


class S3Server(LocalServer):
    """Its objects are files below `buckets`, and survive kills and restarts."""

    name: ClassVar[str] = "s3"

    def __init__(self) -> None:
        super().__init__()
        self.buckets = self.folder / "buckets"
        self.buckets.mkdir()

    def make_bucket(self, name: str) -> Path:
        """Make a bucket; answer the folder that it is."""
        folder = self.buckets / name
        folder.mkdir()
        return folder

    def settings(self, bucket: str, *, port: int | None = None) -> dict[str, str]:
        """What a client is told, by fields; `port` is that of a proxy."""
        return {
            "bucket_url": f"s3://{bucket}",
            "s3_endpoint": f"http://{HOST}:{port or self.port}",
            "s3_region": REGION,
            "aws_access_key_id": ACCESS_KEY,
            "aws_secret_access_key": SECRET_KEY,
        }

    def environment(self, bucket: str, *, port: int | None = None) -> dict[str, str]:
        """The same as variables."""
        return {name.upper(): value for name, value in self.settings(bucket, port=port).items()}

    def command(self) -> list[str]:
        """The server, with its user in its own environment."""
        return [
            *("env", f"ROOT_ACCESS_KEY={ACCESS_KEY}", f"ROOT_SECRET_KEY={SECRET_KEY}"),
            program(),
            *("--port", f"{HOST}:{self.port}", "--region", REGION, "--quiet", "posix", str(self.buckets)),
        ]

    def is_ready(self) -> bool:
        """It answers as soon as its port is open."""
        return True


def program() -> str:
    """The path of the server, built on first use: a minute and a half of two cores."""
    return go_program(MODULE, "versitygw")
