"""Dead letters on the page: listed, shown, replayed and discarded by the code of ``velox dlq``."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from velox.core.letters import Content, Letter
from velox.core.text import readable
from velox.dashboard.bodies import read_object
from velox.errors import SettingsError
from velox.kafka.letter_topic import LetterTopic
from velox.kafka.replayer import Replayer
from velox.settings import LetterSettings
from velox.signals import StopRequest
from velox.tools.dlq.choice import Choice
from velox.tools.dlq.replay import again
from velox.tools.dlq.show import describe, payload_of

_SHOWN: Final = 50
"""Letters of a reason, the newest."""
_RATE: Final = 500.0
"""Records a second that are published again."""
_VALUE_CHARACTERS: Final = 1000


class Letters(Protocol):
    """What is done with dead letters. Any thread may ask; all calls block."""

    def found(self) -> dict[str, Any]:
        """List what there is, by reason."""

    def one(self, source: str) -> dict[str, Any]:
        """Say what a letter says."""

    def handle(self, action: str, choice: Choice) -> dict[str, int]:
        """Replay or discard; answer how many of how many."""


class LettersOnTopic:
    """The dead letters of a pipeline's topic."""

    def __init__(self, settings: LetterSettings) -> None:
        """Keep the settings; each question reads the topic anew."""
        self._settings = settings

    def found(self) -> dict[str, Any]:
        """List what there is, by reason.

        Raises:
            BrokerUnavailableError: the broker does not answer, or there is no such topic.
        """
        with LetterTopic(self._settings) as topic:
            findings = topic.find()
        by_reason: defaultdict[str, list[Letter]] = defaultdict(list)
        for letter in findings.open:
            by_reason[letter.reason].append(letter)
        most_first = sorted(by_reason.items(), key=lambda item: -len(item[1]))
        return {
            "topic": topic.name,
            "open": len(findings.open),
            "handled": len(findings.handled),
            "reasons": [
                {"reason": readable(reason), "letters": len(letters), "newest": letters[-1].written_at}
                for reason, letters in most_first
            ],
            "letters": [
                {"source": str(of.source), "reason": readable(reason), "at": of.written_at, "attempts": of.attempts}
                for reason, letters in most_first
                for of in reversed(letters[-_SHOWN:])
            ],
        }

    def one(self, source: str) -> dict[str, Any]:
        """Say what a letter says; what is no text in it is written so that it can be read.

        Raises:
            VeloxError: there is no such letter, or the broker does not answer.
        """
        with LetterTopic(self._settings) as topic:
            letter = Choice(frozenset({source}), handled_too=True).among(topic.find(), topic.name)[-1]
            headers = topic.headers(letter)
            content = next((content for _, content in topic.contents([letter])), None)
        key = (content or Content(None, None, ())).key
        return {
            "headers": [[readable(name), readable(value, _VALUE_CHARACTERS)] for name, value in headers],
            "key": readable(key),
            "payload": describe(payload_of(self._settings, content)),
        }

    def handle(self, action: str, choice: Choice) -> dict[str, int]:
        """Replay or discard.

        Raises:
            VeloxError: there is no such letter, or the broker does not answer.
        """
        with LetterTopic(self._settings) as topic:
            letters = choice.among(topic.find(), topic.name)
            if action == "discard":
                Replayer(self._settings).mark(letters, "discarded")
                return {"done": len(letters), "of": len(letters)}
            of = len({letter.source for letter in letters})
            never = StopRequest()  # not entered: a signal ends the dashboard, and then this with it
            done = again(self._settings, topic, letters, rate=_RATE, stop=never, show=lambda _done, _of: None)
        return {"done": done, "of": of}


async def _list(request: Request) -> Response:
    return JSONResponse(await asyncio.to_thread(_letters(request).found))


async def _show(request: Request) -> Response:
    return JSONResponse(await asyncio.to_thread(_letters(request).one, request.path_params["source"]))


async def _handle(request: Request) -> Response:
    action = request.path_params["action"]
    if action not in {"replay", "discard"}:
        raise SettingsError(f"{readable(action)} is nothing that is done with dead letters: replay or discard")
    choice = _choice(await read_object(request))
    done = await asyncio.to_thread(_letters(request).handle, action, choice)
    return JSONResponse(done)


def _choice(said: Mapping[str, object]) -> Choice:
    """Read which letters are meant; all of them is nothing that can be said by leaving something out."""
    reason, record = said.get("reason"), said.get("record")
    if isinstance(reason, str) and reason and record is None:
        return Choice(reasons=frozenset({reason}))
    if isinstance(record, str) and record and reason is None:
        return Choice(records=frozenset({record}))
    raise SettingsError('say which: {"reason": "undecodable"} or {"record": "image_data-3-42"}')


def _letters(request: Request) -> Letters:
    letters: Letters = request.app.state.parts.letters
    return letters


ROUTES: Final = (
    Route("/api/letters", _list),
    Route("/api/letters/{source}", _show),
    Route("/api/letters/{action}", _handle, methods=["POST"]),
)
