"""What a JPEG file is made of: its segments, and the compressed scans between them.

Takes a file apart as libjpeg does, which steps over what it does not expect, and puts it together without most of what
libjpeg warns about.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

_JFIF, _ADOBE, _COMMENT = 0xE0, 0xEE, 0xFE
_APPLICATIONS: Final = frozenset(range(0xE0, 0xF0))
_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL: Final = frozenset({0xC0, 0xC1})
_HUFFMAN: Final = frozenset({0xC0, 0xC1, 0xC2})
"""Frames whose data shows where it ends. With arithmetic coding, any number of zeros may be left out there."""
_LEAST_FRAME: Final = 6
"""Bytes of precision, height, width and the number of components."""

_JFIF_1_01: Final = b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"
_ALL_BITS: Final = b"\0\x3f\0"
"""What a scan of a sequential frame has to say of itself: coefficients 0 to 63, and all bits of them."""
_ALL_COEFFICIENTS: Final = (1 << 64) - 1

_MOST_SEGMENTS: Final = 1000
"""Many scans and a large colour profile take some hundred."""
_MARKER: Final = re.compile(rb"\xff+([^\x00\xff\x01\xd0-\xd7])")
"""Not one that stands by itself, without a length: it says nothing here."""
_MARKER_AFTER_SCAN: Final = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
_RESTART: Final = re.compile(rb"\xff[\xd0-\xd7]")


@dataclass(frozen=True, slots=True)
class Segment:
    """A marker with its content (without the length) and, when it starts a scan, the data that follows."""

    marker: int
    content: bytes = b""
    scan: bytes = b""

    def __bytes__(self) -> bytes:
        """Write it as it stands in a file."""
        return b"\xff%c%b%b%b" % (self.marker, (len(self.content) + 2).to_bytes(2), self.content, self.scan)


@dataclass(frozen=True, slots=True)
class Structure:
    """A file taken apart, and mended."""

    segments: tuple[Segment, ...]
    width: int
    height: int
    has_all_scans: bool
    """False when it stops before its last scan has begun; where in that it stops, only a decoder can say."""

    def joined(self, filler: bytes = b"") -> bytes:
        """Put it together. A ``filler`` lies wherever a decoder should find no more of a scan's data.

        A decoder steps over it where it has all that it needs; where it has not, it takes the filler for data.
        """
        segments = (_filled(each, filler) if filler and each.marker == _SCAN else each for each in self.segments)
        return b"".join((b"\xff\xd8", *map(bytes, segments), b"\xff\xd9"))

    @property
    def scans(self) -> int:
        """Count them; a decoder goes through all pixels in each."""
        return sum(each.marker == _SCAN for each in self.segments)

    @property
    def is_in_one_piece(self) -> bool:
        """Say whether its data is one scan without restart marks."""
        scans = [each.scan for each in self.segments if each.marker == _SCAN]
        return len(scans) == 1 and not _RESTART.search(scans[0])

    @property
    def padding(self) -> int:
        """Count the zeros at the end: a camera's, those of a file system that has lost the rest, or data after all."""
        return len(self.segments[-1].scan) - len(self.segments[-1].scan.rstrip(b"\0"))

    def padded(self, zeros: int) -> "Structure":
        """Leave so many of these zeros."""
        last = self.segments[-1]
        return replace(self, segments=(*self.segments[:-1], replace(last, scan=last.scan.rstrip(b"\0") + bytes(zeros))))


def take_apart(payload: bytes) -> Structure:
    """Take a JPEG file apart, and leave out or correct what libjpeg warns about in all but its scans' data.

    Raises:
        ValueError: it has no pixels, or ends before they begin.
    """
    found, ends = _segments(payload)
    frame = next((each for each in found if each.marker in _FRAMES), None)
    if frame is None or len(frame.content) < _LEAST_FRAME or not any(each.scan for each in found):
        msg = "it has no pixels, or ends before they begin"
        raise ValueError(msg)
    while found[-1].marker != _SCAN:
        found.pop()
    kept = tuple(mended for each in found if (mended := _mended(each, frame)) is not None)
    height, width = int.from_bytes(frame.content[1:3]), int.from_bytes(frame.content[3:5])
    return Structure(kept, width, height, _cover(frame, kept) if frame.marker in _HUFFMAN else ends)


def _segments(payload: bytes) -> tuple[list[Segment], bool]:
    """Return all segments up to the end of the image, and whether that is marked; what is cut off is left out."""
    found: list[Segment] = []
    at = 2
    while (mark := _MARKER.search(payload, at)) and len(found) < _MOST_SEGMENTS:
        marker, at = mark[1][0], mark.end()
        start, at = at + 2, at + int.from_bytes(payload[at : at + 2])
        if marker in {_START, _END} or at < start or at > len(payload):
            return found, marker == _END
        content, scan = payload[start:at], b""
        if marker == _SCAN:
            following = _MARKER_AFTER_SCAN.search(payload, at)
            scan = payload[at : following.start()] if following else payload[at:].rstrip(b"\xff")
            at += len(scan)
        found.append(Segment(marker, content, scan))
    return found, False


def _mended(segment: Segment, frame: Segment) -> Segment | None:
    """Leave out what says nothing of the pixels; correct what decoders complain about and know better."""
    marker, content = segment.marker, segment.content
    if marker == _JFIF and content.startswith(b"JFIF\0") and len(content) >= len(_JFIF_1_01):
        return Segment(_JFIF, _JFIF_1_01)
    if marker == _ADOBE and content.startswith(b"Adobe") and len(content) >= 12:  # noqa: PLR2004 - it has 12
        return Segment(_ADOBE, content[:11] + _transform(content[11], components=frame.content[5]))
    if marker in _APPLICATIONS or marker == _COMMENT:
        return None
    if marker == _SCAN and frame.marker in _SEQUENTIAL:
        return replace(segment, content=content[:-3] + _ALL_BITS)
    return segment


def _transform(said: int, *, components: int) -> bytes:
    """Say how colours are stored: what libjpeg takes any other number for."""
    usual = {3: 1, 4: 2}.get(components, said)
    return bytes([said if said == 0 else usual])


def _cover(frame: Segment, segments: Iterable[Segment]) -> bool:
    """Say whether the scans bring all coefficients of all components, to the last bit."""
    brought: dict[int, int] = {}
    for content in (each.content for each in segments if each.marker == _SCAN and len(each.content) > 3):  # noqa: PLR2004
        first, last, low = content[-3], content[-2], content[-1] & 15
        if low == 0:
            for component in content[1:-3:2]:
                brought[component] = brought.get(component, 0) | ((2 << last) - (1 << first) if first <= last else 0)
    return len(brought) == frame.content[5] and all(each == _ALL_COEFFICIENTS for each in brought.values())


def _filled(segment: Segment, filler: bytes) -> Segment:
    """Put filler before each restart mark and at the end, there with the restart mark that would come next."""
    scan, restarts = _RESTART.subn(lambda mark: filler + mark[0], segment.scan)
    return replace(segment, scan=b"".join((scan, filler, b"\xff", bytes([0xD0 + restarts % 8]), filler)))
