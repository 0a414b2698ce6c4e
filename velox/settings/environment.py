"""Where values come from: the environment, then ``.env`` in the working folder."""

import os
from typing import Any

from dotenv import dotenv_values
from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

COLOR_PREFIX = "COLORS_"
TESTING = frozenset({"VELOX_TESTING", "VELOX_FAILPOINT"})
"""What only tests of Velox set; see velox.failpoints."""


def env_file() -> dict[str, str]:
    """Read ``.env`` in the working folder; names in capitals."""
    return {name.upper(): value or "" for name, value in dotenv_values(".env").items()}


def variables() -> dict[str, str]:
    """Read the environment; names in capitals."""
    return {name.upper(): value for name, value in os.environ.items()}


def given() -> dict[str, str]:
    """Read both; the environment wins."""
    return env_file() | variables()


class Colors(PydanticBaseSettingsSource):
    """Gathers ``COLORS_NAME`` variables over the default colours."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Answer no single field: this source gives its one field whole."""
        return None, field_name, False

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
