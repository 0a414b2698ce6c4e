"""``velox cameras``: cameras described, read, changed and watched."""

import argparse
import re

from velox.commands import Commands
from velox.commands.arguments import duration


def add(commands: Commands) -> None:
    """Add the parser."""
    cameras = commands.add_parser(
        "cameras",
        help="read cameras, change them while they run, and see how they are",
        description="Each camera of CAMERAS_FILE has a topic of its name. Its frames go to BUCKET_URL, their paths to "
        "the topic; consumers with CODEC=key and a pattern as KAFKA_TOPIC predict them. See docs/cameras.md.",
        epilog="To begin: velox cameras init --count 8 && velox up --env-file pipelines/cameras.env",
    )
    actions = cameras.add_subparsers(dest="action", required=True, metavar="ACTION")
    init = actions.add_parser("init", help="write a first CAMERAS_FILE, and make the topics if Kafka answers")
    init.add_argument("--count", type=int, default=8, metavar="N", help="camera_1 to camera_N (default: 8)")
    init.add_argument(
        "--url", default="synthetic:", metavar="URL", help="of each; {n} is its number (default: synthetic:)"
    )
    _add_description(init)
    init.add_argument("--force", action="store_true", help="write the file anew if it is there")
    init.add_argument("--topics", action="store_true", help="make the topics, and wait for Kafka if need be")
    init.set_defaults(run=_init)
    run = actions.add_parser("run", help="read the cameras, until a signal comes: `velox produce` with SOURCE=cameras")
    run.add_argument("--shard", type=_shard, metavar="I/N", help="only those whose number divided by N leaves I")
    run.set_defaults(run=_run)
    listed = actions.add_parser("list", help="show what CAMERAS_FILE says, without passwords")
    listed.set_defaults(run=_list)
    new = actions.add_parser("add", help="add a camera while they run, or change one")
    new.add_argument("id", metavar="ID", help="of the camera: also its topic")
    new.add_argument(
        "url", metavar="URL", help="rtsp://USER:PASSWORD@HOST/PATH, http://..., file:PATH, usb:0, synthetic:"
    )
    _add_description(new)
    new.set_defaults(run=_change)
    for action, means in (
        ("remove", "end a camera while the others run"),
        ("pause", "read a camera no more, until it is resumed"),
        ("resume", "read a paused camera again"),
    ):
        parser = actions.add_parser(action, help=means)
        parser.add_argument("ids", nargs="+", metavar="ID", help="of cameras; a range as in 'camera_{11..20}'")
        parser.set_defaults(run=_change)
    _add_top(actions)


def _add_top(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    top = actions.add_parser(
        "top",
        help="show all cameras live, the worst first",
        description="Reads the metrics of the processes that read cameras and of consumers: how each camera is, frames "
        "in, predicted and dropped in a second, how old the newest is, and what was seen last.",
    )
    top.add_argument("--every", type=duration, default=2.0, metavar="TIME", help="time between two looks (default: 2s)")
    top.add_argument("--once", action="store_true", help="look twice, show the table once and end")
    top.add_argument("--json", action="store_true", help="print one JSON object a line instead, for other programs")
    top.add_argument(
        "--cameras", nargs="*", metavar="HOST:PORT", help="where cameras serve metrics (default: CAMERAS_PORT and on)"
    )
    top.add_argument(
        "--consumers", nargs="*", metavar="HOST:PORT", help="where consumers do (default: localhost, METRICS_PORT)"
    )
    top.set_defaults(run=_top)


def _add_description(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--fps", type=float, default=0.0, metavar="F", help="frames a second of files and synthetic:")
    parser.add_argument("--size", default="", metavar="WxH", help="of frames, in pixels (default: as they come)")
    parser.add_argument("--policy", default="latest", metavar="P", help="latest (default), all, or sample(2)")


def _shard(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,4})/(\d{1,4})", text)
    if match is None or not int(match[1]) < int(match[2]):
        msg = f"{text!r} is no shard: write 0/2 and 1/2 for the two halves"
        raise argparse.ArgumentTypeError(msg)
    return int(match[1]), int(match[2])


def _described(args: argparse.Namespace, identity: str, url: str) -> dict[str, object]:
    said: dict[str, object] = {"id": identity, "url": url, "fps": args.fps, "policy": args.policy}
    return said | ({"size": args.size} if args.size else {})


def _init(args: argparse.Namespace) -> int:
    from velox import settings
    from velox.cameras import changing

    like = _described(args, "camera_1", args.url)
    done = changing.init(settings.load(), like, count=args.count, force=args.force, topics=args.topics)
    print(*done, sep="\n")
    return 0


def _run(args: argparse.Namespace) -> int:
    from velox import settings
    from velox.cameras import main

    return main.run(settings.load(), main.Shard(*args.shard) if args.shard else None)


def _list(_args: argparse.Namespace) -> int:
    from rich.console import Console

    from velox import settings
    from velox.cameras import changing

    Console(highlight=False).print(changing.table(settings.load()))
    return 0


def _change(args: argparse.Namespace) -> int:
    from velox import settings
    from velox.cameras import changing

    told = settings.load()
    if args.action == "add":
        changing.add(told, _described(args, args.id, args.url))
        ids = [args.id]
    else:
        ids = changing.change(told, args.action, args.ids)
    print(f"{args.action}: {', '.join(ids)}; the change is on its way to the cameras' processes")
    return 0


def _top(args: argparse.Namespace) -> int:
    from velox import settings
    from velox.tools.cameras import Options, run

    told = settings.load()
    return run(
        told,
        Options(every_s=args.every, once=args.once, as_json=args.json),
        cameras=args.cameras or (),
        consumers=args.consumers or (),
    )
