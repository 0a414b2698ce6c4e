"""Where values come from: the environment, then the pipeline file, if any, then ``.env`` in the working folder."""

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final

from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from velox.settings import env_file as files
from velox.settings.service_links import service

OUR_PREFIX: Final = "VELOX_"
COLOR_PREFIX: Final = "COLORS_"
ENVIRONMENT: Final = "environment"
ENV_FILE: Final = ".env"
PIPELINE_FILE: Final = "VELOX_ENV_FILE"
"""Names the pipeline file; ``--env-file`` sets it, so that the processes which a command starts read the same."""
_LOOKED_INTO: ContextVar[str | None] = ContextVar("pipeline file that is looked into", default=None)
TESTING = frozenset({"VELOX_TESTING", "VELOX_FAILPOINT"})
"""What only tests of Velox set; see velox.failpoints."""


def name_pipeline_file(path: str) -> None:
    """Have this process, and those that it starts, read a pipeline file over ``.env``."""
    os.environ[PIPELINE_FILE] = path


def replace_variables(gone: Collection[str], new: Mapping[str, str]) -> None:
    """Have this process, and those that it starts, see other variables in the place of these (names in capitals)."""
    for name in [each for each in os.environ if each.upper() in gone]:
        del os.environ[name]
    os.environ.update(new)


@contextmanager
def looking_into(path: Path) -> Iterator[None]:
    """Have this thread alone read another pipeline file meanwhile."""
    token = _LOOKED_INTO.set(str(path))
    try:
        yield
    finally:
        _LOOKED_INTO.reset(token)


def handed_on(changed: Mapping[str, str]) -> dict[str, str]:
    """Answer the environment of a process that is to be started: ours, with some variables of another value."""
    return os.environ | changed


def file_places() -> dict[str, dict[str, str]]:
    """Read the pipeline file, if one is named, and ``.env`` in the working folder: the stronger one first.

    Answers the settings of each, by the file's path as it was given; names in capitals.

    Raises:
        SettingsError: one of them cannot be read, or there is no such pipeline file.
    """
    pipeline = _LOOKED_INTO.get() or variables().get(PIPELINE_FILE)
    named = {pipeline: files.read(Path(pipeline), is_required=True)} if pipeline else {}
    return named | {ENV_FILE: files.read(Path(ENV_FILE))}


def places() -> dict[str, dict[str, str]]:
    """Read all places, the strongest first; an empty value in one does not hide another's.

    Raises:
        SettingsError: a file cannot be read.
    """
    return {ENVIRONMENT: variables()} | file_places()


def variables() -> dict[str, str]:
    """Read the environment, without what Kubernetes sets under our prefixes; names in capitals."""
    found = {name.upper(): value for name, value in os.environ.items()}
    ours = (OUR_PREFIX, COLOR_PREFIX)
    return {name: value for name, value in found.items() if not (name.startswith(ours) and service(name, value))}


def is_test() -> bool:
    """Tell whether the environment says that this is a test of Velox; ``.env`` cannot."""
    return variables().get("VELOX_TESTING") == "1"


def given() -> dict[str, str]:
    """Read all places; the strongest wins."""
    found: dict[str, str] = {}
    for place in places().values():
        found = place | found
    return found


class Source(PydanticBaseSettingsSource):
    """A place where settings come from; it gives all that it has at once."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Answer no single field."""
        return None, field_name, False


class Texts(Source):
    """Gives each setting the text of its variable; an empty one counts as not given."""

    def __call__(self) -> dict[str, Any]:
        """Read all places; the strongest wins, but not with an empty value."""
        texts: dict[str, str] = {}
        for place in places().values():
            texts = {name: value for name, value in place.items() if value} | texts
        fields = self.settings_cls.model_fields.keys() - {"colors"}
        return {name: texts[name.upper()] for name in fields if name.upper() in texts}


class Colors(Source):
    """Gathers ``COLORS_NAME`` variables over the default colours."""

    def __call__(self) -> dict[str, Any]:
        """Merge the default colours with those given; an empty value removes a colour."""
        own = {name: value for name, value in given().items() if name.startswith(COLOR_PREFIX)}
        if (
            not own or "colors" not in self.settings_cls.model_fields or "colors" in self.current_state
        ):  # pydantic would merge these with the constructor's
            return {}
        colors = dict(self.settings_cls.model_fields["colors"].default)
        for name, value in own.items():
            color = name.removeprefix(COLOR_PREFIX).lower()
            if value.strip():
                colors[color] = value
            else:
                colors.pop(color, None)
        return {"colors": colors}
