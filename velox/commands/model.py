"""``velox model``: the models that the API offers, and a consumer of several runs."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from velox.commands import Commands, versions
from velox.errors import SettingsError

if TYPE_CHECKING:
    from velox.model_reports import ModelReport
    from velox.settings.models import ModelEntry

_DESCRIPTION = """\
The models are named in MODELS_PATH (models.toml), each with its pipeline file. These commands show and edit that file;
`velox consume --models all` follows it while it runs: a model that is added is started; of one whose pipeline file has
changed, a new consumer is started beside the old one, which drains when the new one is ready; one that is removed
drains and ends. No request is lost by it.

  velox model list                                             each model and how it is
  velox model info sentiment                                   what its consumer is told
  velox model load spam --env-file pipelines/spam.env          add one, or give one another pipeline file
  velox model unload spam                                      take it away

Of one model's versions, which its section names (see docs/models.md):

  velox model share sentiment v2=10                            ten per cent of its keys
  velox model shadow sentiment v3                              all records, only to compare; or off
  velox model compare sentiment                                how the shadow's answers differ
  velox model promote sentiment v2                             it answers from now on
  velox model rollback sentiment                               the one before answers again
"""


def add(commands: Commands) -> None:
    """Add the parser and those of its actions."""
    model = commands.add_parser(
        "model",
        help="list, show, load or unload the models of the API",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = model.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="show each and how it is", description="Shows each model and how it is.")
    listing.set_defaults(run=_list)
    for name, run, what in (
        ("info", _info, "show what a model's consumer is told, and how it is"),
        ("load", _load, "add a model, or give it another pipeline file: --env-file FILE"),
        ("unload", _unload, "take a model away; requests that wait on its topic stay there"),
    ):
        action = actions.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
        action.add_argument("name", metavar="NAME", help="of the model")
        action.set_defaults(run=run, parser=action)
    versions.add(actions)


def _list(_args: argparse.Namespace) -> int:
    from velox import settings
    from velox.model_reports import read_reports
    from velox.settings.models import read_models

    path = settings.load().models_path
    entries = read_models(path)
    reports = read_reports(path)
    rows = [("model", "state", "topic", "consumers")]
    for name, entry in entries.items():
        known = reports.get(entry.same_as or name, [])
        ports = ", ".join(f"{report.host}:{report.port}" for report in known if report.port) or "-"
        rows.append((name, _state(known), _topic(entry), ports))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        print("  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[-1]]))
    for name, known in reports.items():
        for cause in {report.cause for report in known if report.cause}:
            print(f"{name}: {cause}")
    return 0


def _info(args: argparse.Namespace) -> int:
    from velox import settings
    from velox.model_reports import read_reports

    path = settings.load().models_path
    entry = _entry(path, args.name)
    told = entry.load()
    print(f"{entry.name}{f' is {entry.same_as}' if entry.same_as else ''}: {entry.env_file}")
    for name in (
        *("model", "model_path", "kafka_topic", "kafka_consumer_group", "codec", "sinks", "target_labels"),
        *("confidence_threshold", "inference_processes", "batch_size"),
    ):
        value = getattr(told, name)
        print(f"  {name.upper()}={','.join(value) if isinstance(value, tuple) else value}")
    for report in read_reports(path).get(entry.same_as or entry.name, []):
        cause = f": {report.cause}" if report.cause else ""
        print(f"  {report.state} on {report.host}, port {report.port}{cause}")
    return 0


def _load(args: argparse.Namespace) -> int:
    from velox import settings
    from velox.worker.catalogue import add_entry

    if "env_file" not in args:
        args.parser.error("which pipeline file? --env-file FILE")
    path = settings.load().models_path
    entry = add_entry(path, args.name, Path(args.env_file))
    print(f"{path}: {entry.name} reads {entry.load().kafka_topic}, by {entry.env_file}")
    return 0


def _unload(args: argparse.Namespace) -> int:
    from velox import settings
    from velox.worker.catalogue import remove_entry

    path = settings.load().models_path
    remove_entry(path, args.name)
    print(f"{path}: {args.name} is taken away")
    return 0


def _entry(path: Path, name: str) -> "ModelEntry":
    from velox.settings.models import read_models

    entries = read_models(path)
    if name not in entries:
        msg = f"{path}: no model {name}; there are {', '.join(entries) or 'none'}"
        raise SettingsError(msg)
    return entries[name]


def _state(known: "list[ModelReport]") -> str:
    return known[0].state if known else "not reported"


def _topic(entry: "ModelEntry") -> str:
    try:
        return entry.load().kafka_topic
    except SettingsError as problem:
        return f"? ({problem})"
