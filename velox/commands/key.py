"""``velox key``: who may ask the gateway."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from velox.commands import Commands

if TYPE_CHECKING:
    from velox.requests.rows import Key
    from velox.requests.store import RequestStore

_DESCRIPTION = """\
API keys, in the database at REQUESTS_URL. A gateway asks for one where AUTH says so: on any address but a loopback one,
unless AUTH=off.

  velox key create shop                              make a key, and show it: this once, as only its hash is kept
  velox key create shop --scopes read                it may look, and not ask
  velox key create shop --rate 600/minute            at each gateway
  velox key list                                     all keys, without their secrets
  velox key revoke 0f3a5c7e9b1d                      by its id; gateways notice within 30 seconds

Scopes: `submit` (ask, cancel, remove), `read` (look, list, wait), `admin` (have a webhook delivered again, say what
signs webhooks). A client sends its key as `Authorization: Bearer KEY` or `X-API-Key: KEY`, and finds its own requests
only.
"""


def add(commands: Commands) -> None:
    """Add the parser and those of its actions."""
    key = commands.add_parser(
        "key",
        help="make, list or revoke API keys of the gateway",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = key.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make one and show it", description="Makes a key and shows it.")
    create.add_argument("name", metavar="NAME", help="for people: whose it is")
    create.add_argument("--scopes", default="submit,read", help="of submit, read, admin (default: %(default)s)")
    create.add_argument("--rate", default="", help="most requests, as in 60/minute (default: any number)")
    create.set_defaults(run=_create)
    listing = actions.add_parser("list", help="show all, without secrets", description="Shows all keys, no secrets.")
    listing.set_defaults(run=_list)
    revoke = actions.add_parser("revoke", help="have one count no more", description="Revokes a key, for ever.")
    revoke.add_argument("id", metavar="ID", help="as `velox key list` shows it")
    revoke.set_defaults(run=_revoke)


def _create(args: argparse.Namespace) -> int:
    import sys
    from time import time

    from velox.core.api_keys import SCOPES, make_key
    from velox.core.rates import Rate
    from velox.errors import SettingsError
    from velox.requests.rows import Key

    scopes = frozenset(args.scopes.split(","))
    if unknown := scopes.difference(SCOPES):
        msg = f"--scopes {args.scopes}: no scope {', '.join(map(repr, sorted(unknown)))}; there are {', '.join(SCOPES)}"
        raise SettingsError(msg)
    if args.rate:
        try:
            Rate.parse(args.rate)
        except ValueError as error:
            msg = f"--rate: {error}"
            raise SettingsError(msg) from error
    text, made = make_key()
    with _opened() as store:
        store.keys.add(
            Key(id=made.id, name=args.name, hash=made.hash, scopes=scopes, rate=args.rate, created_at=time())
        )
        where = store.address
    print(text)
    print(f"Its id is {made.id}, in {where}. Keep the key: it is shown this once.", file=sys.stderr)
    return 0


def _list(_args: argparse.Namespace) -> int:
    rows = [("id", "scopes", "rate", "created", "state", "name")]
    with _opened() as store:
        rows += map(_row, store.keys.all())
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for row in rows:
        print("  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[-1]]))
    return 0


def _revoke(args: argparse.Namespace) -> int:
    from time import time

    with _opened() as store:
        is_revoked = store.keys.revoke(args.id, time())
        is_known = is_revoked or args.id in store.keys.find([args.id])
    if not is_known:
        print(f"{args.id}: no such key at REQUESTS_URL; `velox key list` shows them")
        return 1
    print(f"{args.id}: {'revoked; gateways notice within 30 seconds' if is_revoked else 'was revoked before'}")
    return 0


@contextmanager
def _opened() -> "Iterator[RequestStore]":
    from velox import settings
    from velox.errors import SettingsError
    from velox.loading import is_installed

    if not is_installed("sqlalchemy"):
        msg = "keys need packages that are not installed: pip install 'velox[gateway]'"
        raise SettingsError(msg)
    from velox.requests.store import RequestStore

    store = RequestStore(settings.load().requests_url.get_secret_value())
    try:
        store.open()
        yield store
    finally:
        store.close()


def _row(key: "Key") -> tuple[str, str, str, str, str, str]:
    from velox.core.api_keys import SCOPES
    from velox.core.text import printable

    scopes = ",".join(scope for scope in SCOPES if scope in key.scopes)
    state = "good" if key.revoked_at is None else f"revoked {_day(key.revoked_at)}"
    return key.id, scopes, key.rate or "-", _day(key.created_at), state, printable(key.name)


def _day(at: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")
