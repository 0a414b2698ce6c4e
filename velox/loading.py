"""From a name in the settings to a class; and what is installed to be loaded."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from velox.errors import SettingsError


def load_class(path: str) -> Any:  # noqa: ANN401 - what the class is, its contract says
    """Import ``package.module:ClassName``.

    Raises:
        SettingsError: there is no such module or class; the message names the path.
    """
    module_name, _, name = path.partition(":")
    try:
        module = import_module(module_name)
    except ImportError as error:
        msg = f"{path}: {error}; is it on PYTHONPATH, is its extra installed?"
        raise SettingsError(msg) from error
    if not hasattr(module, name):
        msg = f"{path}: module {module_name} has no class {name}"
        raise SettingsError(msg)
    return getattr(module, name)


def is_installed(package: str) -> bool:
    """Say whether a package could be imported, without doing so."""
    return find_spec(package) is not None
