"""What there is among the dead letters, and what one of them says."""

from collections import defaultdict
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from velox.core.envelope import PARSERS
from velox.core.image_formats import recognise
from velox.core.letters import Content, Letter
from velox.core.text import readable
from velox.errors import BadRecordError, VeloxError
from velox.kafka.letter_topic import LetterTopic
from velox.settings import StreamSettings
from velox.tools.dlq.choice import Choice
from velox.tools.dlq.screen import console, reading, when


def list_letters(settings: StreamSettings) -> int:
    """Print how many dead letters there are, by reason."""
    with LetterTopic(settings) as topic, reading() as on_read:
        findings = topic.find(on_read=on_read)
    out = console()
    by_topic = not topic.source.is_one
    groups: dict[tuple[str, ...], list[Letter]] = defaultdict(list)
    for letter in findings.open:
        groups[letter.reason, *([letter.source.topic] if by_topic else ())].append(letter)
    if groups:
        whose = ("reason", "topic") if by_topic else ("reason",)
        table = Table(*whose, "letters", "oldest", "newest", "attempts", "for example")
        for group, letters in sorted(groups.items(), key=lambda item: -len(item[1])):
            times = when(letters[0].written_at), when(letters[-1].written_at)
            attempts = str(max(letter.attempts for letter in letters))
            example = str(letters[-1].source)
            table.add_row(*map(Text, (*map(readable, group), str(len(letters)), *times, attempts, example)))
        out.print(table)
    foreign = f", {findings.foreign} records that are none of {topic.source}" if findings.foreign else ""
    out.print(f"{topic.name}: {len(findings.open)} dead letters, {len(findings.handled)} handled already{foreign}")
    return 0


def show_letters(settings: StreamSettings, choice: Choice, *, save: Path | None) -> int:
    """Print what the chosen letters say; with ``save``, write each payload into that folder.

    Raises:
        VeloxError: the folder cannot be written.
    """
    out = console()
    with LetterTopic(settings) as topic:
        letters = choice.find(topic)
        if not letters:
            out.print(f"{topic.name} has no such dead letters")
        headers = {letter.position: topic.headers(letter) for letter in letters if letter.is_pointer}
        for letter, content in topic.contents(letters):
            said = Content(None, None, headers[letter.position]) if letter.is_pointer else content
            _print(out, letter, said or Content(None, None, ()))
            payload = payload_of(settings, content)
            out.print(Text(f"  payload: {describe(payload)}"))
            if save and payload:
                out.print(Text(f"  saved: {_save(payload, save / str(letter.source))}"))
    return 0


def _print(out: Console, letter: Letter, content: Content) -> None:
    title = f"{letter.source}: {readable(letter.reason)}, dead-lettered {when(letter.written_at)}"
    out.print(Text(title, style="bold"))
    out.print(Text(f"  key: {readable(content.key)}"))
    for name, value in content.headers:
        out.print(Text(f"  {readable(name)}: {readable(value, 1000)}"))


def payload_of(settings: StreamSettings, content: Content | None) -> bytes | None:
    """Take the payload out of a value; all of it, when it cannot be taken apart."""
    if content is None:
        return None
    value = content.value or b""
    try:
        taken = PARSERS[settings.codec](value, settings.json_form)
    except BadRecordError:
        return value
    return value if taken.problem else taken.payload


def describe(payload: bytes | None) -> str:
    """Say what a payload is, in a line."""
    if payload is None:
        return "left behind at the record's position, where Kafka no longer has it"
    return f"{len(payload)} bytes, beginning with {readable(payload[:32])}" if payload else "none"


def _save(payload: bytes, path: Path) -> Path:
    form = recognise(payload)
    file = path.with_name(f"{path.name}{form.suffixes[0] if form else '.bin'}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(payload)
    except OSError as error:
        msg = f"--save: {file} cannot be written: {error.strerror}"
        raise VeloxError(msg) from error
    return file
