"""Made-up reviews of products, each with the opinion that it was made to have, for ever."""

import random
from collections.abc import Iterator
from typing import Final

from velox.errors import SettingsError
from velox.settings import SourceSettings
from velox.sources.source import Item

LABELS: Final = ("POSITIVE", "NEGATIVE")

_SEED: Final = 7
_THINGS: Final = (
    *("pair of headphones", "kettle", "backpack", "desk lamp", "pair of shoes", "blender", "novel", "keyboard"),
    *("coffee grinder", "raincoat", "office chair", "phone case", "bicycle pump", "frying pan", "board game"),
)
_PARTS: Final = {
    "POSITIVE": (
        *("The quality is excellent.", "Great value for the money.", "It works perfectly.", "Delivery was fast."),
        *("I love the design.", "It feels solid and well made.", "My whole family enjoys it.", "Easy to clean."),
        *("Best purchase of the year!", "It has never let me down.", "Not bad at all for this price."),
        *("Support was friendly and helpful.", "I was worried, but it turned out to be wonderful."),
    ),
    "NEGATIVE": (
        *("It broke after two days.", "A complete waste of money.", "The quality is terrible.", "It arrived damaged."),
        *("I hate the smell of it.", "It feels cheap and flimsy.", "Support was rude and useless."),
        *("Worst purchase of the year!", "It does not work.", "Not good, not even for this price."),
        *("I returned it the same week.", "I was excited, but it turned out to be awful."),
    ),
}
_OPENINGS: Final = {
    "POSITIVE": ("I am very happy with this {}.", "This {} is fantastic.", "What a lovely {}!", "Nice {}."),
    "NEGATIVE": ("I am really disappointed with this {}.", "This {} is awful.", "What a horrible {}!", "Poor {}."),
}
_PLAIN: Final = (
    *("I bought it in March.", "It comes in three colours.", "I use it every other day.", "The box was blue."),
    *("My neighbour has the same one.", "It weighs about a kilo."),
)
_MOST_PARTS: Final = 3
_PLAIN_SHARE: Final = 0.4


class ReviewsSource:
    """Yields texts in English, half of them for and half against, mixed: always the same ones in the same order.

    ``label`` in the metadata is the opinion that a text was made with: what a model says can be compared with it. Some
    say it by way of a negation or a turn, and some hardly say it: no model that goes by words alone is always right.
    """

    interval_s: float | None = None

    def __init__(self, settings: SourceSettings, path: str = "") -> None:
        """Need none of the settings; ``path`` must be empty.

        Raises:
            SettingsError: there is a path.
        """
        if path:
            msg = f"SOURCE=reviews:{path}: reviews are made up, not read; write SOURCE=reviews, or SOURCE=lines:FILE"
            raise SettingsError(msg)

    def __iter__(self) -> Iterator[Item]:
        """Yield items without end."""
        draw = random.Random(_SEED)  # noqa: S311 - chooses words, guards no secret
        number = 0
        while True:
            label = draw.choice(LABELS)
            metadata = {"label": label, "review": number}
            yield Item(key=None, metadata=metadata, payload=_review(label, draw).encode(), dtype="text")
            number += 1


def _review(label: str, draw: random.Random) -> str:
    sentences = [draw.choice(_OPENINGS[label]).format(draw.choice(_THINGS))] if draw.random() < 0.5 else []  # noqa: PLR2004 - every other one
    sentences += draw.sample(_PARTS[label], draw.randint(1, _MOST_PARTS))
    if draw.random() < _PLAIN_SHARE:
        sentences.insert(draw.randint(0, len(sentences)), draw.choice(_PLAIN))
    return " ".join(sentences)
