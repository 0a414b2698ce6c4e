"""``velox webhooks``: delivering results, and seeing what became of that."""

import argparse
from typing import TYPE_CHECKING

from velox.commands import Commands, webhook_secrets

if TYPE_CHECKING:
    from velox.requests.rows import Request, Tried

_DESCRIPTION = """\
Delivers the results of requests to the URLs that clients have named, from the database at REQUESTS_URL. Run one of
these beside the gateways, or several: each delivery is claimed by one of them, and by another if that one dies.

  velox webhooks                   deliver until told to stop; metrics and health on METRICS_PORT
  velox webhooks log ID            every attempt to deliver the result of a request, and what came back
  velox webhooks redeliver ID      deliver it again, from the first rung of WEBHOOK_LADDER_S
  velox webhooks secret            give a destination a secret of its own

A receiver has to answer 2xx within WEBHOOK_TIMEOUT_S, better at once. It may get the same webhook twice, always with
the same webhook-id. Redirects are not followed. 410 ends the delivery; any other answer is tried again by
WEBHOOK_LADDER_S. Webhooks go to public addresses only, unless WEBHOOK_ALLOW names a network. WEBHOOK_SECRET signs them
by the Standard Webhooks convention.
"""


def add(commands: Commands) -> None:
    """Add the parser and those of its actions."""
    webhooks = commands.add_parser(
        "webhooks",
        help="deliver results to the URLs that clients have named",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    webhooks.set_defaults(run=_run)
    actions = webhooks.add_subparsers(dest="action", metavar="ACTION")
    for name, what, run in (
        ("log", "show every attempt to deliver a request's result", _log),
        ("redeliver", "deliver a request's result again", _redeliver),
    ):
        action = actions.add_parser(name, help=what, description=f"Webhooks: {what}.")
        action.add_argument("id", metavar="ID", help="of the request, as the gateway has given it out")
        action.set_defaults(run=run)
    webhook_secrets.add(actions)


def _run(_args: argparse.Namespace) -> int:
    from velox.commands import renamed
    from velox.loading import is_installed

    if not all(map(is_installed, ("httpcore2", "sqlalchemy", "standardwebhooks"))):
        from velox.errors import SettingsError

        msg = "webhooks need packages that are not installed: pip install 'velox[gateway]'"
        raise SettingsError(msg)
    from velox.webhooks import main

    return main.run(renamed.load("webhooks"))


def _log(args: argparse.Namespace) -> int:
    from velox import settings
    from velox.requests.store import RequestStore

    store = RequestStore(settings.load().requests_url.get_secret_value())
    store.open()
    try:
        request = store.look([args.id]).get(args.id)
        if request is None:
            return _unknown(args.id)
        for line in _lines(request, store.deliveries(args.id)):
            print(line)
    finally:
        store.close()
    return 0


def _redeliver(args: argparse.Namespace) -> int:
    from time import time

    from velox import settings
    from velox.requests.store import RequestStore

    store = RequestStore(settings.load().requests_url.get_secret_value())
    store.open()
    try:
        request = store.look([args.id]).get(args.id)
        if request is None:
            return _unknown(args.id)
        if not store.redeliver(request.id, request.owner, time()):
            why = "it has no webhook" if request.webhook_url is None else f"it is {request.state}, and not done"
            print(f"{args.id}: nothing to deliver: {why}")
            return 1
        print(f"{args.id}: due now; `velox webhooks log {args.id}` shows what comes of it")
    finally:
        store.close()
    return 0


def _lines(request: "Request", attempts: "list[Tried]") -> list[str]:
    from velox.core.text import printable

    if request.webhook_url is None:
        return [f"{request.id} is {request.state}, and has no webhook"]
    lines = [f"{request.id} is {request.state}; its webhook to {printable(request.webhook_url)} is {_state(request)}"]
    for each in attempts:
        answer = "no answer" if each.status is None else str(each.status)
        error = f"  {printable(each.error)}" if each.error else ""
        lines.append(f"{each.attempt:>3}  {_time(each.at)}  {answer:<9}  {each.seconds:7.3f} s  {each.state}{error}")
    return lines


def _state(request: "Request") -> str:
    from velox.core.states import WebhookState

    is_due = request.webhook_state is WebhookState.DUE and request.webhook_due_at is not None
    return f"{request.webhook_state}" + (f" at {_time(request.webhook_due_at or 0)}" if is_due else "")


def _time(at: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _unknown(identity: str) -> int:
    print(f"{identity}: no such request at REQUESTS_URL")
    return 1
