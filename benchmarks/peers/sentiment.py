"""The work of every peer of the kill test: a sentiment that is quick, and always the same for the same text."""

from typing import Final

_GOOD: Final = frozenset({"good", "great", "love", "works", "fine"})
_BAD: Final = frozenset({"bad", "broken", "hate", "fails", "poor"})


def sentiment(text: str) -> str:
    """Answer POSITIVE, NEGATIVE or NEUTRAL: whichever words are more."""
    words = text.lower().split()
    balance = sum(word in _GOOD for word in words) - sum(word in _BAD for word in words)
    return "POSITIVE" if balance > 0 else "NEGATIVE" if balance < 0 else "NEUTRAL"
