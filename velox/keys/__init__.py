"""The table ``image_info``: which objects there are, for whoever asks for their predictions."""

from velox.errors import SettingsError
from velox.keys.table import KeyTable
from velox.settings.keys import KeysSettings


def key_table(settings: KeysSettings) -> KeyTable:
    """Make the table of KEYS_URL, not opened yet.

    Raises:
        SettingsError: KEYS_URL is no address of a table, a full pass makes no sense, or its driver is not installed.
    """
    url = settings.keys_url.get_secret_value()
    if settings.keys_full_pass and settings.keys_follow:
        msg = "KEYS_FULL_PASS and KEYS_FOLLOW: without a column of Velox's own nothing tells which rows are new"
        raise SettingsError(f"{msg}; run it again now and then, or set SOURCE_LOOP=true")
    if settings.keys_full_pass and url.startswith("sqlite:"):
        raise SettingsError("KEYS_FULL_PASS is for PostgreSQL; a file of SQLite is Velox's own: leave it out")
    if url.startswith("sqlite:///"):
        from velox.keys.sqlite import SqliteKeys  # noqa: PLC0415 - one of two, and each has a driver of its own

        return SqliteKeys(url.removeprefix("sqlite:///"))
    try:
        from velox.keys.pages import PostgresPages  # noqa: PLC0415 - likewise
        from velox.keys.postgres import PostgresKeys  # noqa: PLC0415 - likewise
    except ImportError as error:
        msg = f"KEYS_URL needs psycopg ({error}); run: pip install 'velox[objects]', or name sqlite:///FILE"
        raise SettingsError(msg) from error
    if settings.keys_full_pass:
        return PostgresPages(url, timeout_s=settings.keys_timeout_s)
    return PostgresKeys(url, settings.keys_progress, timeout_s=settings.keys_timeout_s)
