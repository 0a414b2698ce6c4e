"""How the commands of the API read their settings: also by the names that two other systems gave them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from velox.settings import Settings
    from velox.settings.old_names import Command


def load(command: "Command") -> "Settings":
    """Read the settings, and log once what became of each old name.

    Raises:
        SettingsError: as ``velox.settings.load``.
    """
    import logging

    from velox import logs, settings
    from velox.settings import old_names

    told = old_names.adopt(command)
    loaded = settings.load()
    if command == "consume" and loaded.is_text and (of_model := old_names.adopt_model_name()):
        told += of_model
        loaded = settings.load()
    if told:
        logs.configure(level=loaded.log_level, form=loaded.log_format, pipeline=loaded.pipeline)
        log = logging.getLogger(__name__)
        for each in told:
            log.log(logging.INFO if each.counts else logging.WARNING, "%s", each.text)
    return loaded
