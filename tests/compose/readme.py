"""What the README tells users to type and to expect, so that exactly this is tried."""

import re
from pathlib import Path

README = (Path(__file__).parents[2] / "README.md").read_text()
SECTION = README.partition("## The same pipeline in Docker Compose")[2].partition("\n## ")[0]
COMMANDS: list[str] = re.findall(r"^docker compose .+$", SECTION, flags=re.MULTILINE)
RETRAIN = re.findall(r"`(rm [^`]+)`", SECTION)
PROMQL = re.findall(r"`([^`]*\btarget_shapes_found\b[^`]*)`", SECTION)
SYMPTOMS = re.findall(r"^\| `([^`]+)`", SECTION.partition("goes wrong first")[2], flags=re.MULTILINE)


def command(words: str) -> str:
    """The only command that begins with these words."""
    (found,) = (line for line in COMMANDS if line.startswith(words))
    return found
