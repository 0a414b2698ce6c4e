"""How a comparison ends: its section is shown, its figures are kept, and recorded if that was asked for."""

import argparse
from typing import Any

from benchmarks import report
from benchmarks.document import write_section
from benchmarks.rig import console


def add_record(parser: argparse.ArgumentParser) -> None:
    """Add the option that has figures recorded."""
    parser.add_argument(
        "--record", action="store_true", help="keep the figures and write them into docs/performance.md"
    )


def end(name: str, where: report.Circumstances, figures: dict[str, Any], section: str, *, recorded: bool) -> None:
    """Show the section and save the figures; with ``recorded``, both are what the document shows from now on."""
    console.print(section, markup=False, highlight=False, soft_wrap=True)
    path = report.save(name, where, figures)
    console.print(f"Figures in {path.relative_to(report.REPOSITORY)}", highlight=False)
    if recorded:
        report.record(name, where, figures)
        write_section(name, section)
