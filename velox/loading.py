"""From a name in the settings to a class."""

from importlib import import_module
from typing import Any

from velox.errors import SettingsError


def load_class(path: str) -> Any:  # noqa: ANN401 - what the class is, its contract says
    """Import ``package.module:ClassName``.

    Raises:
        SettingsError: there is no such module or class; the message names the path.
    """
    module, _, name = path.partition(":")
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        msg = f"{path}: cannot import {error.name}; is it on PYTHONPATH, is its extra installed?"
        raise SettingsError(msg) from error
    except AttributeError as error:
        msg = f"{path}: module {module} has no class {name}"
        raise SettingsError(msg) from error
