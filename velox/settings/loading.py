"""Reads the settings, or stops with one line that says what is wrong."""

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from velox.errors import SettingsError
from velox.settings.environment import (
    COLOR_PREFIX,
    ENV_FILE,
    OUR_PREFIX,
    PIPELINE_FILE,
    TESTING,
    file_places,
    given,
    places,
    variables,
)
from velox.settings.old_names import OURS
from velox.settings.secrets import FILE_SUFFIX, secret_fields
from velox.settings.service_links import service
from velox.settings.settings import Settings

_FOREIGN_PREFIXES = ("COMPOSE_", "DOCKER_", "GF_")
"""Names that Compose and its images read from the same ``.env``."""


def load() -> Settings:
    """Read the settings: the environment, then the pipeline file if one is named, then ``.env``, then the defaults.

    Raises:
        SettingsError: a file cannot be read, a name is unknown or a value is invalid; one line that names it.
    """
    _refuse_unknown_names()
    _refuse_service_links()
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(_describe(problem) for problem in error.errors())
        raise SettingsError(problems) from None


def origins() -> dict[str, str]:
    """Tell where each field's value comes from: ``environment``, the pipeline file's path, ``.env`` or ``default``."""
    names_in = {place: _given_in(texts) for place, texts in places().items()}
    secret = secret_fields(Settings)

    def spellings(field: str) -> set[str]:
        return {field.upper()} | ({field.upper() + FILE_SUFFIX} if field in secret else set())

    def origin(field: str) -> str:
        prefix = COLOR_PREFIX if field == "colors" else None
        for place, names in names_in.items():
            if names & spellings(field) or (prefix and any(name.startswith(prefix) for name in names)):
                return place
        return "default"

    return {field: origin(field) for field in Settings.model_fields}


def _given_in(place: Mapping[str, str]) -> set[str]:
    """Name the variables that say something: an empty one does so only of a colour."""
    return {name.upper() for name, value in place.items() if value or name.upper().startswith(COLOR_PREFIX)}


def _refuse_unknown_names() -> None:
    """Stop on a name that only Velox can have meant: any in a file, and any with the prefix ``VELOX_``."""
    known = {field.upper() for field in Settings.model_fields} - {"COLORS"}
    known |= {field.upper() + FILE_SUFFIX for field in secret_fields(Settings)}
    others = TESTING | {PIPELINE_FILE}
    suspects = [("", name) for name in variables() if name.startswith(OUR_PREFIX) and name not in others]
    for path, texts in file_places().items():
        where = "" if path == ENV_FILE else f"{path}: "
        suspects += [(where, name) for name in texts if not name.startswith(_FOREIGN_PREFIXES)]
    for where, name in suspects:
        if name in known or name.startswith(COLOR_PREFIX):
            continue
        if called := OURS.get(name):
            msg = f"{where}{name}: is called {called} here; write that, or set {name} as an environment variable"
            raise SettingsError(msg)
        close = difflib.get_close_matches(name.removeprefix(OUR_PREFIX), known, n=1)
        hint = f"did you mean {close[0]}?" if close else "`velox settings` lists all names"
        msg = f"{where}{name}: unknown setting; {hint}"
        raise SettingsError(msg)


def _refuse_service_links() -> None:
    """Stop where Kubernetes has put the address of a Service in place of a setting."""
    for name, value in variables().items():
        if name.lower() in Settings.model_fields and (linked := service(name, value)):
            remedy = f"set enableServiceLinks: false in the pod's spec, or {name} yourself"
            msg = f"{name}={value}: set by Kubernetes for a Service named {linked}; {remedy}"
            raise SettingsError(msg)


def _describe(problem: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails, a dict
    location = [str(part) for part in problem["loc"]]
    text = str(problem["msg"]).removeprefix("Value error, ")
    if not location:
        return text
    name = COLOR_PREFIX + location[1].upper() if location[0] == "colors" and len(location) > 1 else location[0].upper()
    value = "" if name.lower() in secret_fields(Settings) else f"={given().get(name, problem['input'])}"
    return f"{name}{value}: {text}"
