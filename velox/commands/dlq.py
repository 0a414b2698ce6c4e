"""``velox dlq``: what to do about dead letters."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from velox.commands import Commands

if TYPE_CHECKING:
    from velox.tools.dlq.choice import Choice

_DESCRIPTION = """\
Dead letters are records whose own data is bad, kept on DEAD_LETTER_TOPIC (<KAFKA_TOPIC>.dlq) with the reason.
Where KAFKA_TOPIC is several topics or a pattern, theirs are together on one; each goes back to the topic it came from.

  velox dlq list                               how many there are, by reason
  velox dlq show --reason undecodable          what the oldest of them says
  velox dlq show image_data-3-42 --save bad/   one record; its payload as a file
  velox dlq replay --reason too_large --dry-run
  velox dlq replay --reason too_large          publish them again, once the cause is mended
  velox dlq discard --reason not_an_image      take them off the list

A replayed record keeps its key, value, headers and id: its result is stored where it would have been the first time,
once, however often it is replayed. If it fails again, it is a new dead letter with one attempt more. What is replayed
or discarded is noted on the topic and no longer counts; Kafka keeps the letters as long as its retention says.
"""
_RECORD_HELP = "a record's position (topic-partition-offset, as logs show it) or id; none: all that the options choose"


def add(commands: Commands) -> None:
    """Add the parser and those of its four actions."""
    dlq = commands.add_parser(
        "dlq",
        help="list, show, replay or discard dead letters",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = dlq.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="count them by reason", description="Counts the dead letters by reason.")
    listing.set_defaults(run=_list)
    show = _with_choice(actions, "show", "print what they say, oldest first", limit=1)
    show.add_argument("--save", type=Path, metavar="FOLDER", help="write each payload into this folder")
    show.set_defaults(run=_show)
    replay = _with_choice(actions, "replay", "publish their records again")
    replay.add_argument("--dry-run", action="store_true", help="only say what would be replayed")
    replay.add_argument("--rate", type=_positive, default=100.0, metavar="R", help="records a second at most (100)")
    replay.set_defaults(run=_replay)
    discard = _with_choice(actions, "discard", "take them off the list")
    discard.add_argument("--dry-run", action="store_true", help="only say what would be discarded")
    discard.add_argument("--yes", action="store_true", help="also without a record or a reason: all of them")
    discard.set_defaults(run=_discard, parser=discard)


def _with_choice(actions: Commands, name: str, what: str, *, limit: int | None = None) -> argparse.ArgumentParser:
    action = actions.add_parser(name, help=what, description=f"Dead letters: {what}.")
    action.add_argument("records", nargs="*", metavar="RECORD", help=_RECORD_HELP)
    action.add_argument("--reason", action="append", default=[], metavar="R", help="only this reason; may be repeated")
    most = "all that are named, else 1" if limit else "all"
    action.add_argument("--limit", type=_count, metavar="N", help=f"the N oldest only (default: {most})")
    action.add_argument("--all", action="store_true", help="also those that were replayed or discarded already")
    action.set_defaults(default_limit=limit)
    return action


def _choice(args: argparse.Namespace) -> "Choice":
    from velox.tools.dlq.choice import Choice

    limit = args.limit or (None if args.records else args.default_limit)
    return Choice(frozenset(args.records), frozenset(args.reason), limit, args.all)


def _list(_args: argparse.Namespace) -> int:
    from velox import settings
    from velox.tools.dlq.show import list_letters

    return list_letters(settings.load())


def _show(args: argparse.Namespace) -> int:
    from velox import settings
    from velox.tools.dlq.show import show_letters

    return show_letters(settings.load(), _choice(args), save=args.save)


def _replay(args: argparse.Namespace) -> int:
    from velox import settings
    from velox.tools.dlq.replay import replay

    return replay(settings.load(), _choice(args), rate=args.rate, dry_run=args.dry_run)


def _discard(args: argparse.Namespace) -> int:
    from velox import settings
    from velox.tools.dlq.replay import discard

    if not (args.records or args.reason or args.yes or args.dry_run):
        args.parser.error("name records or a --reason, or say --yes to discard all")
    return discard(settings.load(), _choice(args), dry_run=args.dry_run)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        msg = f"{text!r} is no number of 1 or more"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _positive(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < float("inf"):
        msg = f"{text!r} is no rate above 0"
        raise argparse.ArgumentTypeError(msg)
    return rate
