"""Where a result may be delivered to, as far as that can be told when a request comes."""

from velox.core.addresses import Allowed, check_url
from velox.errors import ForbiddenAddressError
from velox.gateway.problems import unprocessable
from velox.settings.gateway import DestinationSettings


def checked(url: str | None, settings: DestinationSettings) -> str | None:
    """Answer the URL that a client named, if it did; what its host's address is, each delivery finds out.

    Raises:
        Problem: 422: nothing may be delivered there.
    """
    if url is None:
        return None
    try:
        check_url(url, Allowed.of(settings.webhook_allow))
    except ForbiddenAddressError as error:
        raise unprocessable(f"webhook_url: {error}", "webhook_url") from error
    return url
