"""``velox webhooks secret``: what signs the webhooks of single destinations."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from velox.requests.store import RequestStore

_DAY_S = 86_400.0
_DESCRIPTION = """\
Webhooks are signed with WEBHOOK_SECRET, but for destinations that have a secret of their own.

  velox webhooks secret list                                   which destinations have one; none is shown
  velox webhooks secret new https://hooks.example.com          make one and show it; the one before signs too, for a day
  velox webhooks secret new https://hooks.example.com --stdin  take it from the first line of the input
  velox webhooks secret remove https://hooks.example.com       sign with WEBHOOK_SECRET again

A destination is scheme, host and port; the rest of a URL does not count. --key ID means the requests of that API key
alone; its own secret goes before one that is for all.
"""


def add(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the parser and those of its actions."""
    secret = actions.add_parser(
        "secret",
        help="give a destination a secret of its own",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whats = secret.add_subparsers(dest="what", required=True, metavar="WHAT")
    listing = whats.add_parser("list", help="show which destinations have one", description="Shows no secret.")
    listing.set_defaults(run=_list)
    new = whats.add_parser("new", help="make one, or change it", description="Makes a secret and shows it.")
    new.add_argument("--stdin", action="store_true", help="read it instead of making one")
    new.add_argument(
        "--keep",
        type=float,
        default=_DAY_S,
        metavar="S",
        help="the one before signs so long (default: %(default)g)",
    )
    new.set_defaults(run=_new)
    remove = whats.add_parser("remove", help="sign as for all others", description="Removes a secret.")
    remove.set_defaults(run=_remove)
    for each in (new, remove):
        each.add_argument("destination", metavar="URL", help="scheme, host and port, as in https://hooks.example.com")
        each.add_argument("--key", default="", metavar="ID", help="of an API key: for its requests alone")


def _list(_args: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from velox.requests.rows import NOBODY

    store = _opened()
    try:
        for each in store.secrets.all():
            whose = "all" if each.owner == NOBODY else f"key {each.owner}"
            print(f"{each.destination}  {whose}  {datetime.fromtimestamp(each.changed_at, UTC):%Y-%m-%d %H:%M:%SZ}")
    finally:
        store.close()
    return 0


def _new(args: argparse.Namespace) -> int:
    import sys
    from time import time

    from velox.core.signing_keys import check_signing_key, make_signing_key
    from velox.errors import SettingsError
    from velox.requests.rows import NOBODY

    destination = _origin(args.destination)
    secret = sys.stdin.readline().strip() if args.stdin else make_signing_key()
    try:
        check_signing_key(secret)
    except ValueError as error:
        msg = f"the secret {error}"
        raise SettingsError(msg) from error
    store = _opened()
    try:
        made = store.secrets.replace(args.key or NOBODY, destination, secret, at=time(), keep_s=max(0.0, args.keep))
    finally:
        store.close()
    if not args.stdin:
        print(secret)
    too = f"; the one before signs for {args.keep:g} s more" if made.before and args.keep > 0 else ""
    print(f"Webhooks to {destination} are signed with it from now on{too}.", file=sys.stderr)
    return 0


def _remove(args: argparse.Namespace) -> int:
    from velox.requests.rows import NOBODY

    destination = _origin(args.destination)
    store = _opened()
    try:
        is_gone = store.secrets.remove(args.key or NOBODY, destination)
    finally:
        store.close()
    print(f"{destination}: {'signed as all others from now on' if is_gone else 'has no secret of its own'}")
    return 0 if is_gone else 1


def _origin(url: str) -> str:
    from velox.core.addresses import target
    from velox.errors import ForbiddenAddressError, SettingsError

    try:
        return target(url).origin
    except ForbiddenAddressError as error:
        msg = f"{url}: {error}"
        raise SettingsError(msg) from error


def _opened() -> "RequestStore":
    from velox import settings
    from velox.requests.store import RequestStore

    store = RequestStore(settings.load().requests_url.get_secret_value())
    store.open()
    return store
