"""A bucket behind the S3 protocol: Amazon's, or any server that speaks it."""

import configparser
import re
from datetime import timedelta
from http import HTTPMethod
from typing import TYPE_CHECKING, Final

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from velox.buckets.place import Client
from velox.core.text import readable
from velox.errors import BadRecordError, BucketUnavailableError, ObjectDeniedError, Reason, VeloxError
from velox.settings.buckets import BucketSettings

if TYPE_CHECKING:
    from obstore.store import S3Config

_CODE: Final = re.compile(r"<Code>([^<]+)</Code>")
_MESSAGE: Final = re.compile(r"<Message>([^<]+)</Message>")
_STATUS: Final = re.compile(r"status code: (\d{3})[^:\n<]*")
_CAUSE: Final = re.compile(r"retry_timeout: \S+\s+- (.+)")
_DENIED: Final = "AccessDenied"
_MISSING: Final = {"NoSuchKey", "KeyTooLongError"}
_IMPOSSIBLE: Final = {"KeyTooLongError", "InvalidObjectName", "ExistingObjectIsDirectory", "ObjectParentIsFile"}
"""Codes of keys that no object can have there; the latter two are of servers that keep objects as files."""
_ROLE_SERVER: Final = "169.254."
"""Where Amazon tells its machines and containers of their role; asked when nothing else gives credentials."""
_TRIES: Final = 2
_CONNECT_S: Final = 5.0


class S3:
    """One bucket by its name, at S3_ENDPOINT, else Amazon's of the region.

    Credentials are those of the settings, else of the profile in the shared credentials file, else whatever Amazon's
    environment gives a process: web identity, a container's or an instance's role.
    """

    def __init__(self, settings: BucketSettings) -> None:
        """Keep the settings."""
        self.is_silent = False
        self._settings = settings
        self._name = settings.bucket_name

    def connect(self) -> Client:
        """Make the client, with credentials as they are now."""
        settings = self._settings
        given: S3Config = {**_credentials(settings)}  # type: ignore[typeddict-item]  # only its names
        given["checksum_algorithm"] = "SHA256"  # S3 itself compares what arrives
        if settings.s3_endpoint:
            given["endpoint"] = settings.s3_endpoint
        if settings.s3_region:
            given["region"] = settings.s3_region
        return S3Store(
            self._name,
            config=given,
            client_options={
                "allow_http": settings.s3_endpoint.startswith("http://"),
                "connect_timeout": timedelta(seconds=min(_CONNECT_S, settings.object_timeout_s)),
                "timeout": timedelta(seconds=settings.object_timeout_s),
            },
            # The library's own would hide an outage for three minutes; Velox tries again by itself, and tells.
            retry_config={"max_retries": _TRIES, "retry_timeout": timedelta(seconds=settings.object_timeout_s)},
        )

    def problem(self, client: Client) -> str | None:
        """Ask for the first keys. Who may read objects and not list them is let in."""
        try:
            next(iter(client.list(self._settings.bucket_prefix or None, chunk_size=1)), None)
        except (BaseError, OSError) as error:
            return None if _code(error) == _DENIED else self._why(error)
        return None

    def judge(self, key: str, error: Exception, *, writing: bool) -> VeloxError:
        """Tell by S3's code what is wrong, and with what."""
        code = _code(error)
        if code in _MISSING and not writing:
            return BadRecordError(Reason.OBJECT_MISSING, f"{readable(key)}: bucket {self._name} has no such object")
        if code in _IMPOSSIBLE:
            return BadRecordError(Reason.FORBIDDEN_POINTER, f"{readable(key)}: {_said(error)}")
        if code == _DENIED:
            return ObjectDeniedError(self._why(error))
        return BucketUnavailableError(self._why(error))

    def link(self, client: Client, key: str, *, for_s: float) -> str:
        """Sign a URL; whoever has it can read the object until then."""
        if not isinstance(client, S3Store):
            msg = f"{client!r} is no S3"
            raise TypeError(msg)
        return obstore.sign(client, HTTPMethod.GET.value, key, timedelta(seconds=for_s))

    def _why(self, error: Exception) -> str:
        return f"s3://{self._name}: {_said(error)}{_remedy(_code(error))}"


def _credentials(settings: BucketSettings) -> dict[str, str]:
    names = ("access_key_id", "secret_access_key", "session_token")
    given = {
        "access_key_id": settings.aws_access_key_id,
        "secret_access_key": settings.aws_secret_access_key.get_secret_value(),
        "session_token": settings.aws_session_token.get_secret_value(),
    }
    if not given["access_key_id"]:
        given = _from_file(settings)
    return {name: given[name] for name in names if given.get(name)}


def _from_file(settings: BucketSettings) -> dict[str, str]:
    """Read the profile from the file that Amazon's tools share; nothing where there is none."""
    parser = configparser.RawConfigParser()
    try:
        parser.read(settings.aws_shared_credentials_file.expanduser(), encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError, OSError):
        return {}
    if not parser.has_section(settings.aws_profile):
        return {}
    return {name.removeprefix("aws_"): value for name, value in parser.items(settings.aws_profile)}


def _code(error: Exception) -> str:
    match = _CODE.search(str(error))
    return match[1] if match else ""


def _said(error: Exception) -> str:
    """Put what S3 says in a line: never all of it, which repeats what was signed."""
    text = str(error)
    if _ROLE_SERVER in text:
        return "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a role"
    found = [match[1] for pattern in (_CODE, _MESSAGE, _STATUS, _CAUSE) if (match := pattern.search(text))]
    return readable(": ".join(found[:2]) or text.partition("\n")[0])


def _remedy(code: str) -> str:
    if code == "NoSuchBucket":
        return "; create it, or correct BUCKET_URL"
    if code in {"SignatureDoesNotMatch", "InvalidAccessKeyId", "XAdminUserNotFound", "ExpiredToken", "InvalidToken"}:
        return "; correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if code == _DENIED:
        return "; let this user read it"
    return ""
