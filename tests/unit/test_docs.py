"""What the documents name exists: tests, settings, links, targets, alerts, causes, reasons."""

import ast
import inspect
import re
import textwrap
from pathlib import Path

import pytest
import yaml

from tests.fakes import make_record
from tests.results import make_result
from velox.consumer.fetcher import Fetcher
from velox.core.admission import hold
from velox.core.idleness import Cause
from velox.core.letters import dead_letter_headers
from velox.errors import BadRecordError, Reason
from velox.kafka.dead_letters import DeadLetters
from velox.settings import Settings
from velox.settings.environment import COLOR_PREFIX, PIPELINE_FILE, TESTING
from velox.settings.old_names import MODEL_NAME, OURS, WITHOUT_EFFECT
from velox.settings.secrets import FILE_SUFFIX, secret_fields
from velox.sinks import PATHS
from velox.sinks.documents import document

ROOT = Path(__file__).parents[2]
TOP = [path for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md") if (path := ROOT / name).exists()]
PAGES = [*TOP, *sorted((ROOT / "docs").rglob("*.md"))]
COMPOSE = ("docker-compose.yml", "docker-compose.pipeline.yml", "docker-compose.api.yml")
OLD_NAMES = {MODEL_NAME, *OURS, *(name for names in WITHOUT_EFFECT.values() for name in names)}
OPENTELEMETRY = {
    *("OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"),
    *("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_RESOURCE_ATTRIBUTES"),
}
"""Variables that OpenTelemetry's library reads by itself."""
OPERATIONS = (ROOT / "docs/operations.md").read_text()
DELIVERY = (ROOT / "docs/delivery.md").read_text()
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text()

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def prose(page: Path) -> str:
    """The page without its fenced code, in which brackets and hashes mean other things."""
    return re.sub(r"^( *)```.*?^\1```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    titles = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@each_page
def test_every_test_that_is_named_exists(page: Path) -> None:
    missing = [
        f"{file}::{name}"
        for file, name in re.findall(r"([\w/]+\.py)::(\w+)", page.read_text())
        if not (path := ROOT / "tests" / file).exists() or f"\ndef {name}(" not in path.read_text()
    ]
    assert missing == []


@each_page
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@each_page
def test_every_setting_that_is_named_exists(page: Path) -> None:
    """Names with an underscore, and names that are given a value; also those of Compose, Make, Docker and Ray."""
    elsewhere = "\n".join((ROOT / name).read_text() for name in (*COMPOSE, "Dockerfile", "Makefile", ".env"))
    known = {name.upper() for name in Settings.model_fields} | set(re.findall(r"\b[A-Z][A-Z0-9_]+\b", elsewhere))
    known |= TESTING | {PIPELINE_FILE} | OLD_NAMES | OPENTELEMETRY
    known |= {name.upper() + FILE_SUFFIX for name in secret_fields(Settings)} | {"SASL_SSL", "SASL_PLAINTEXT"}
    text = page.read_text()
    named = set(re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)`", text)) | set(re.findall(r"\b([A-Z][A-Z0-9_]+)=", text))
    assert {name for name in named - known if not name.startswith((COLOR_PREFIX, "RAY_"))} == set()


@each_page
def test_every_make_target_that_is_named_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", page.read_text())) <= targets


def test_every_alert_has_its_paragraph() -> None:
    files = [ROOT / f"deploy/prometheus/{name}.yml" for name in ("rules", "gateway_rules", "cameras_rules")]
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    alerts = [rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule]
    assert alerts == re.findall(r"^### (Velox\w+)$", OPERATIONS, flags=re.MULTILINE)


def test_every_cause_of_unreadiness_is_explained() -> None:
    sources = [textwrap.dedent(inspect.getsource(method)) for method in (Fetcher.ready, hold)]
    said = {
        node.value
        for function in ast.parse("".join(sources)).body
        for part in getattr(function, "body", [])[1:]
        for node in ast.walk(part)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    causes = said - {"blocked by "} | {f"blocked by {name}" for name in (*PATHS, DeadLetters.name, "opening the sinks")}
    causes.add("blocked by bucket ")
    assert said >= {"blocked by ", "circuit open: "}
    explained = {cause: f"`{cause}" if cause.endswith(" ") else f"`{cause}`" for cause in causes}
    assert {cause for cause, heading in explained.items() if heading not in OPERATIONS} == set()


def test_every_cause_for_which_devices_are_idle_is_explained() -> None:
    assert {cause for cause in Cause if f"\n| `{cause}` | " not in OPERATIONS} == set()


def test_every_reason_and_header_of_a_dead_letter_is_explained() -> None:
    headers = {name for name, _ in dead_letter_headers(make_record(), BadRecordError(Reason.EMPTY, "no payload"))}
    assert {name for name in headers | set(Reason) if f"`{name}`" not in DELIVERY} == set()


def test_every_field_of_a_stored_document_is_explained() -> None:
    assert {name for name in document(make_result()) if f"`{name}`" not in OPERATIONS} == set()


def test_what_is_missing_would_be_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Page\n[a](b.md) [c](#none) `unit/test_docs.py::test_nothing` `NO_SETTING` NOTHING=1 `make gold`\n"
    )
    for check in (
        test_every_test_that_is_named_exists,
        test_every_relative_link_leads_somewhere,
        test_every_setting_that_is_named_exists,
        test_every_make_target_that_is_named_exists,
    ):
        with pytest.raises(AssertionError):
            check(page)


def test_the_way_of_a_record_names_files_that_exist_and_each_of_them_once() -> None:
    way = ARCHITECTURE.partition("## The way of a record")[2].partition("\n## ")[0]
    files = re.findall(r"`([\w/]+\.py)`", way)
    assert len(files) > 20
    assert [file for file in files if not (ROOT / "velox" / file).is_file()] == []
    assert sorted(files) == sorted(set(files))
