"""Where the table of keys is, and what of it is published."""

from typing import ClassVar

from pydantic import Field, SecretStr

from velox.settings.group import Group


class KeysSettings(Group):
    """What reads the table ``image_info``, or adds to it."""

    title: ClassVar = "Keys"

    keys_url: SecretStr = Field(
        SecretStr("postgresql://postgres@localhost/my_db"),
        description="Database of the table `image_info`: `postgresql://USER:PASSWORD@HOST/NAME`, or `sqlite:///FILE`.",
    )
    keys_where: str = Field("", description="With SOURCE=`keys`, only keys that begin with this are published.")
    keys_follow: bool = Field(
        False, description="With SOURCE=`keys`, wait for new rows at the end, and publish them as they come."
    )
    keys_full_pass: bool = Field(
        False,
        description="With SOURCE=`keys`, publish all rows in each run, by the table's primary key, and change nothing "
        "in PostgreSQL: for a table that may not be altered.",
    )
    keys_progress: str = Field(
        "keys",
        min_length=1,
        max_length=200,
        description="Under this name it is remembered how far the table is published.",
    )
    keys_timeout_s: float = Field(10.0, ge=0.1, le=600, description="A statement that takes longer has failed.")
