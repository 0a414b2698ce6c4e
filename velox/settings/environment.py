"""Where values come from: the environment, then ``.env`` in the working folder."""

import os
from pathlib import Path
from typing import Any, Final

from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from velox.settings import env_file as files
from velox.settings.service_links import service

OUR_PREFIX: Final = "VELOX_"
COLOR_PREFIX: Final = "COLORS_"
TESTING = frozenset({"VELOX_TESTING", "VELOX_FAILPOINT"})
"""What only tests of Velox set; see velox.failpoints."""


def env_file() -> dict[str, str]:
    """Read ``.env`` in the working folder; names in capitals.

    Raises:
        SettingsError: it cannot be read.
    """
    return files.read(Path(".env"))


def variables() -> dict[str, str]:
    """Read the environment, without what Kubernetes sets under our prefixes; names in capitals."""
    found = {name.upper(): value for name, value in os.environ.items()}
    ours = (OUR_PREFIX, COLOR_PREFIX)
    return {name: value for name, value in found.items() if not (name.startswith(ours) and service(name, value))}


def is_test() -> bool:
    """Tell whether the environment says that this is a test of Velox; ``.env`` cannot."""
    return variables().get("VELOX_TESTING") == "1"


def given() -> dict[str, str]:
    """Read both; the environment wins."""
    return env_file() | variables()


class Source(PydanticBaseSettingsSource):
    """A place where settings come from; it gives all that it has at once."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Answer no single field."""
        return None, field_name, False


class Texts(Source):
    """Gives each setting the text of its variable; an empty one counts as not given."""

    def __call__(self) -> dict[str, Any]:
        """Read both places; the environment wins, but not with an empty value."""
        texts: dict[str, str] = {}
        for place in (env_file(), variables()):
            texts |= {name: value for name, value in place.items() if value}
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
