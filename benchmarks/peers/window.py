"""What a system got through while it was looked at. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What was done meanwhile: so many texts, objects or other things."""

    count: int
    lasted_s: float
    cpu_s: float
    """Of all processes of the system; clients, broker, stores and what else it asks are not in it."""

    @property
    def per_s(self) -> float:
        """How many a second."""
        return self.count / self.lasted_s

    @property
    def cpu_ms_each(self) -> float:
        """CPU milliseconds for each."""
        return 1000 * self.cpu_s / max(1, self.count)
