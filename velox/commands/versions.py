"""``velox model share|shadow|compare|promote|rollback``: the versions of one model."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from velox.commands import Commands
from velox.errors import SettingsError

if TYPE_CHECKING:
    from velox.settings.model_versions import Versions


def add(actions: Commands) -> None:
    """Add the actions to those of ``velox model``."""
    for name, run, what in (
        ("share", _share, "give versions of a model a percentage of its keys: v2=10"),
        ("shadow", _shadow, "let a version look on, and compare its answers; off = no more"),
        ("compare", _compare, "show how the shadow's answers differ from those that count"),
        ("promote", _promote, "let a version answer what no share gives to another"),
        ("rollback", _rollback, "go back to the version that answered before the last promotion"),
    ):
        action = actions.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
        action.add_argument("name", metavar="NAME", help="of the model")
        if name == "share":
            action.add_argument("shares", nargs="+", metavar="VERSION=PERCENT", help="the others keep theirs")
        elif name in {"shadow", "promote"}:
            action.add_argument("version", metavar="VERSION", help="its name")
        elif name == "compare":
            action.add_argument("--at", metavar="HOST:PORT", help="metrics port of a consumer that nobody reports")
        action.set_defaults(run=run)


def _share(args: argparse.Namespace) -> int:
    from velox.worker import versions

    shares: dict[str, float] = {}
    for text in args.shares:
        name, _, percentage = text.partition("=")
        try:
            shares[name] = float(percentage)
        except ValueError:
            msg = f"{text} is no share of a version; write v2=10"
            raise SettingsError(msg) from None
    return _say(args.name, versions.share(_path(), args.name, shares))


def _shadow(args: argparse.Namespace) -> int:
    from velox.worker import versions

    return _say(args.name, versions.shadow(_path(), args.name, None if args.version == "off" else args.version))


def _promote(args: argparse.Namespace) -> int:
    from velox.worker import versions

    return _say(args.name, versions.promote(_path(), args.name, args.version))


def _rollback(args: argparse.Namespace) -> int:
    from velox.worker import versions

    return _say(args.name, versions.rollback(_path(), args.name))


def _compare(args: argparse.Namespace) -> int:
    from velox.worker.comparisons import ask, ask_all

    found = [ask(args.at)] if args.at else ask_all(_path(), args.name)
    for at, comparison in found:
        print(f"{args.name} on {at}: {_told(comparison)}")
    return 0


def _told(comparison: "dict[str, Any] | None") -> str:
    if comparison is None:
        return "no version shadows"
    lines = [f"shadow {comparison['shadow']}{'' if comparison['is_on'] else ', switched off: see the log'}"]
    lines += [f"  {name:<10} {comparison[name]}" for name in ("agreed", "disagreed", "failed", "skipped")]
    for name, unit in (("agreement", ".2%"), ("drift", ".4f")):
        value = comparison[name]
        lines.append(f"  {name:<10} {'-' if value is None else format(value, unit)}")
    for name in ("answer_ms", "shadow_ms"):
        said = ", ".join(f"{quantile} {value:.1f}" for quantile, value in comparison[name].items())
        lines.append(f"  {name:<10} {said or '-'}")
    lines += [
        f"  {each['id']}: {_answer(each['answer'])}, shadow {_answer(each['shadow'])}"
        for each in comparison["examples"]
    ]
    return "\n".join(lines)


def _answer(said: "dict[str, Any]") -> str:
    return said.get("error") or f"{said['label']} {said['confidence']:.3f}"


def _path() -> Path:
    from velox import settings

    return settings.load().models_path


def _say(name: str, versions: "Versions") -> int:
    shares = [f"{version} {share:g} %" for version, share in versions.shares.items()]
    shadow = f"; {versions.shadow} shadows" if versions.shadow else ""
    print(f"{name}: {', '.join([*shares, f'{versions.default} the rest'])}{shadow}")
    return 0
