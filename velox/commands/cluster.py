"""``velox cluster``: models, consumers and producers on Ray."""

import argparse
from pathlib import Path
from typing import Final

from velox.commands import Commands

_UP: Final = """\
Joins the Ray of RAY_ADDRESS, or one that runs on this machine, else starts one. Deploys the models of config.yaml, and
runs consumers, each of which is a `velox consume` with PREDICTOR=serve. A signal has them finish what is in flight.

  curl -X POST localhost:8000/inference -d '{"img_path": "frames/camera_7/frame_1764252202.123456.jpg"}'
"""


def add(commands: Commands) -> None:
    """Add the parser."""
    cluster = commands.add_parser(
        "cluster",
        help="run models and consumers on Ray, on several GPUs or machines",
        description="Where one machine is enough, `velox consume` needs half of the processor time a frame, and a "
        "small part of it where frames are asked for one by one.",
    )
    actions = cluster.add_subparsers(dest="action", required=True, metavar="ACTION")
    up = actions.add_parser(
        "up",
        help="deploy the models of config.yaml, and consume",
        description=_UP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    up.add_argument("--config", type=Path, default=Path("config.yaml"), metavar="FILE", help="default: config.yaml")
    up.add_argument("--consumers", type=_count, default=1, metavar="N", help="consumers in one group; 0: none")
    up.add_argument("--host", default="127.0.0.1", help="where to take HTTP requests; in a container 0.0.0.0")
    up.add_argument("--port", type=int, default=8000, help="default: 8000")
    up.set_defaults(run=_up)
    produce = actions.add_parser(
        "produce",
        help="read cameras, and publish their frames",
        description=_PRODUCE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    produce.add_argument("--producers", type=_count, default=2, metavar="N", help="actors; default: 2")
    produce.set_defaults(run=_produce)


_PRODUCE: Final = """\
Reads the cameras of cameras.yaml in actors, each of which has its share of them, on the Ray of RAY_ADDRESS, or one that
runs on this machine, else starts one. Where one machine reads them all, `velox cameras run` does the same without Ray.
"""


def _count(text: str) -> int:
    if not text.isdecimal():
        msg = f"{text!r} is no number of consumers"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _up(args: argparse.Namespace) -> int:
    from velox import settings
    from velox.settings.environment import replace_variables

    _refuse_without_ray()
    from velox.cluster import config, main

    replace_variables((), {"PREDICTOR": "serve"})  # before they are read: what does not go with it is refused
    read = config.read(args.config)
    return main.up(settings.load(), read, consumers=args.consumers, host=args.host, port=args.port)


def _produce(args: argparse.Namespace) -> int:
    from velox import settings

    _refuse_without_ray()
    from velox.cluster import main

    return main.produce(settings.load(), producers=args.producers)


def _refuse_without_ray() -> None:
    from velox.loading import is_installed

    if not all(map(is_installed, ("ray", "yaml"))):
        from velox.errors import SettingsError

        msg = "Ray is not installed: pip install 'velox[ray,objects,openvino]', in an environment of its own"
        raise SettingsError(msg)
