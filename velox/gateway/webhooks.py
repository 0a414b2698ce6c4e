"""Where a result may be delivered to, as far as that can be told when a request comes."""

from urllib.parse import urlsplit

from velox.gateway.problems import unprocessable
from velox.settings import Settings


def checked(url: str | None, settings: Settings) -> str | None:
    """Answer the URL that a client named, if it did.

    Raises:
        Problem: 422: it is none that anything could be delivered to.
    """
    if url is None:
        return None
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.username is None
        is_one = is_one and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one:
        raise unprocessable(
            "a webhook goes to http:// or https:// and a host, without user and password", "webhook_url"
        )
    return url
