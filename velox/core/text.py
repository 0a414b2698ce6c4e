"""Text for a log or a terminal: harmless when strangers wrote it, and of bounded length."""

from collections.abc import Sequence


def printable(text: str) -> str:
    r"""Write what is no printable character (a line break, an escape sequence, half a surrogate) as ``\n``, ``\x1b``.

    So a stranger's text makes no line of its own, and does nothing to a terminal. Backslashes stay as they are.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def readable(content: bytes | str | None, most: int = 200) -> str:
    """Write what a stranger sent: printable, at most ``most`` characters of it, a dash where there is nothing."""
    if content is None:
        return "–"
    text = content.decode(errors="backslashreplace") if isinstance(content, bytes) else content
    more = f"… ({len(text)} characters)" if len(text) > most else ""
    return printable(text[:most]) + more


def listed(names: Sequence[str], most: int = 20) -> str:
    """Name them all with commas between; of more than ``most``, half as many and how many more there are."""
    if len(names) <= most:
        return ", ".join(names)
    shown = most // 2
    return f"{', '.join(names[:shown])} and {len(names) - shown} more"
