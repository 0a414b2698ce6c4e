"""Photographs with known contents: scikit-image's samples, without its code."""

from importlib.util import find_spec
from pathlib import Path

SAMPLES = {
    "chelsea.png": {"Egyptian cat", "tabby", "tiger cat"},
    "coffee.png": {"espresso"},
    "motorcycle_left.png": {"moped", "motor scooter"},
}
"""Names of files, and the labels that are right."""


def sample(name: str) -> Path:
    """The file of a sample."""
    package = find_spec("skimage")
    assert package is not None
    assert package.origin is not None, "scikit-image is installed whole"
    return Path(package.origin).parent / "data" / name
