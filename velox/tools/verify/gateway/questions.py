"""The requests of a run: numbered texts, each with an id of its own; some are such that the model refuses them."""

import json
from dataclasses import dataclass, field

from velox.core.envelope import CHECKSUM_HEADER, checksum
from velox.core.letters import Content
from velox.errors import Reason
from velox.models import numbered
from velox.records import ID_HEADER
from velox.tools.verify.numbered import STORED, Records

_NO_NUMBER = "This is no number at all."


@dataclass(slots=True)
class Questions(Records):
    """Writes the text of each request, and says what has to become of it."""

    _bad: set[int] = field(default_factory=set)

    @property
    def shares_keys(self) -> bool:
        """Say no: each request has a key of its own."""
        return False

    def ask(self, number: int) -> str:
        """Write the text with this number, once; a share of them is bad."""
        if self._draw.random() < self.poison:
            self._bad.add(number)
            self.poisoned += 1
        return self.text(number)

    def text(self, number: int) -> str:
        """Answer the text that was written."""
        return _NO_NUMBER if number in self._bad else numbered.text(number)

    def due(self, number: int) -> str:
        """Say what has to become of a request: ``STORED``, or the reason for which it fails."""
        return Reason.UNDECODABLE.value if number in self._bad else STORED

    def twin(self, number: int) -> int:
        """As of every record."""
        return -1 if number in self._bad else number

    def is_whole(self, number: int, content: Content) -> bool:
        """Say whether this is still the record that the gateway made of the request."""
        value, headers, identity = content.value or b"", dict(content.headers), self.id(number).encode()
        if (content.key, headers.get(ID_HEADER), headers.get(CHECKSUM_HEADER)) != (identity, identity, checksum(value)):
            return False
        said = json.loads(value)
        return bool(said["text"] == self.text(number) and said["request_id"] == self.id(number))
