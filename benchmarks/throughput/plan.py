"""Which design runs when: rounds in which each stands beside the others. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from benchmarks.throughput.variants import NAIVE, VELOX, Design


@dataclass(frozen=True, slots=True)
class Scene:
    """What records are made of, and the broker they come from."""

    name: str
    images: Literal["shapes", "photos"]
    broker: Literal["Kafka", "embedded"]
    count: int
    """Records that Velox works off."""
    naive_count: int
    """The first so many of them are enough for the naive design, which takes ten times as long; 0 = it does not run."""
    rounds: int
    """In the first so many; the first scene is in all."""


SCENES: Final = (
    Scene("shapes", "shapes", "Kafka", count=3000, naive_count=300, rounds=3),
    Scene("photos", "photos", "Kafka", count=1000, naive_count=200, rounds=2),
    Scene("shapes, embedded broker", "shapes", "embedded", count=3000, naive_count=0, rounds=2),
)
QUICK: Final = (
    Scene("shapes", "shapes", "Kafka", count=1500, naive_count=200, rounds=3),
    Scene("photos", "photos", "Kafka", count=600, naive_count=150, rounds=2),
)


@dataclass(frozen=True, slots=True)
class Job:
    """One run of one design in one scene."""

    scene: Scene
    design: Design
    round: int

    @property
    def count(self) -> int:
        """How many records are to be stored."""
        return self.scene.naive_count if self.design == NAIVE else self.scene.count

    @property
    def name(self) -> str:
        """A name for its consumer group, database and folder."""
        words = f"{self.scene.name} {self.design.name} {self.round}".replace(",", "").lower().split()
        return "-".join(words)


def jobs(scenes: Sequence[Scene], variants: Sequence[Design]) -> list[Job]:
    """Lay out the rounds: in each scene the naive design, then Velox; in the first scene also some of the variants.

    Each variant runs in two of the rounds (in all, when there are fewer), others in each, so that their number does
    not make any round much longer than the others.
    """
    rounds = max(scene.rounds for scene in scenes)
    return [
        Job(scene, design, number)
        for number in range(rounds)
        for scene in scenes
        if number < scene.rounds
        for design in _designs(scene, [*_turn(variants, number, rounds)] if scene == scenes[0] else [])
    ]


def _designs(scene: Scene, variants: Sequence[Design]) -> list[Design]:
    return [*([NAIVE] if scene.naive_count else []), VELOX, *variants]


def _turn(variants: Sequence[Design], number: int, rounds: int) -> Iterator[Design]:
    for index, variant in enumerate(variants):
        if number in {index % rounds, (index + 1) % rounds}:
            yield variant
