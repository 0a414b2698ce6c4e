"""What every group of settings has in common: where its values come from, and that nobody changes them."""

from typing import ClassVar, TypeVar, cast

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from velox.settings.environment import Colors, Texts
from velox.settings.secrets import SecretFiles

MIB = 1024 * 1024
Part = TypeVar("Part", bound="Group")


class Group(BaseSettings):
    """Some settings that are read together. Each field is the environment variable of the same name in capitals.

    A class with a title is a section of docs/settings.md; one without is for a reader, and puts sections together or is
    a part of one.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", defer_build=True)
    """Most classes are for annotations only: what validates is built for the one that is loaded."""
    title: ClassVar[str]
    """Heading of the section."""

    def part(self, kind: type[Part]) -> Part:
        """Answer these settings without what ``kind`` does not have: fit for a reader that needs no more."""
        return cast("Part", kind.model_construct(**{name: getattr(self, name) for name in kind.model_fields}))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read environment and ``.env`` ourselves, by rules of one place, colours and files of secrets with them."""
        return init_settings, Colors(settings_cls), SecretFiles(settings_cls), Texts(settings_cls)
