"""The rules that keep the code what the architecture says: who may import whom, who reads the environment, how big."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
VALUES, CORE, FOUNDATION, ADAPTER, PROCESS, ENTRY = range(6)

LAYERS = {
    "velox": VALUES,
    "velox.errors": VALUES,
    "velox.records": VALUES,
    "velox.core": CORE,
    "velox.settings": FOUNDATION,
    "velox.metrics": FOUNDATION,
    "velox.allocator": FOUNDATION,
    "velox.children": FOUNDATION,
    "velox.folders": FOUNDATION,
    "velox.heartbeat": FOUNDATION,
    "velox.logs": FOUNDATION,
    "velox.model_reports": FOUNDATION,
    "velox.loading": FOUNDATION,
    "velox.probes": FOUNDATION,
    "velox.probing": FOUNDATION,
    "velox.processor": FOUNDATION,
    "velox.signals": FOUNDATION,
    "velox.spans": FOUNDATION,
    "velox.otlp": FOUNDATION,
    "velox.tether": FOUNDATION,
    "velox.failpoints": FOUNDATION,
    "velox.buckets": ADAPTER,
    "velox.client": ADAPTER,
    "velox.images": ADAPTER,
    "velox.kafka": ADAPTER,
    "velox.keys": ADAPTER,
    "velox.models": ADAPTER,
    "velox.postgres": ADAPTER,
    "velox.progress": ADAPTER,
    "velox.requests": ADAPTER,
    "velox.sinks": ADAPTER,
    "velox.sources": ADAPTER,
    "velox.web": ADAPTER,
    "velox.tools.autoscale": PROCESS,
    "velox.tools.bench": PROCESS,
    "velox.cameras": PROCESS,
    "velox.cluster": PROCESS,
    "velox.consumer": PROCESS,
    "velox.dashboard": PROCESS,
    "velox.tools.doctor": PROCESS,
    "velox.gateway": PROCESS,
    "velox.producer": PROCESS,
    "velox.webhooks": PROCESS,
    "velox.worker": PROCESS,
    "velox.tools": PROCESS,
    "velox.tools.cameras": PROCESS,
    "velox.tools.dlq": PROCESS,
    "velox.tools.top": PROCESS,
    "velox.tools.up": PROCESS,
    "velox.tools.upload": PROCESS,
    "velox.tools.verify": PROCESS,
    "velox.commands": ENTRY,
    "velox.cli": ENTRY,
    "velox.__main__": ENTRY,
}
"""Values and errors <- pure core <- settings, metrics, logs <- adapters <- processes <- entry points.

A module imports from lower layers and from its own package, never from a neighbour's. A new package needs a line here.
"""

NEIGHBOURS = {
    ("velox.models", "velox.sources"): "what is trained on is drawn by the functions the producer draws with",
    ("velox.models", "velox.images"): "a model's input is an image, decoded",
    ("velox.sources", "velox.images"): "the producer reads the files that the consumer would",
    ("velox.cameras", "velox.sources"): "a synthetic camera shows what the producer draws",
    ("velox.tools.cameras", "velox.cameras"): "how many processes read cameras is for these to say",
    ("velox.tools.cameras", "velox.tools.top"): "both show what processes counted in the last seconds",
    ("velox.tools.cameras", "velox.tools.up"): "both read what processes serve as metrics",
    ("velox.dashboard", "velox.tools.top"): "both show where the time goes, and say what to do about it",
    ("velox.dashboard", "velox.cameras"): "cameras are changed by the code of the command",
    ("velox.dashboard", "velox.tools.cameras"): "both show how cameras are",
    ("velox.dashboard", "velox.tools.dlq"): "dead letters are handled by the code of the command",
    ("velox.dashboard", "velox.tools.up"): "both read what consumers serve as metrics",
    ("velox.tools.up", "velox.cameras"): "an embedded broker begins with a topic for each camera",
    ("velox.tools.verify", "velox.tools.up"): "both run the commands as processes, and ask them how they are",
    ("velox.tools.bench", "velox.consumer"): "a model is measured in processes placed as the consumer's",
    ("velox.cluster", "velox.cameras"): "an actor reads cameras as a process of theirs does",
    ("velox.cluster", "velox.consumer"): "an actor is a consumer, and a replica predicts as an inference process does",
    ("velox.tools.top", "velox.tools.up"): "both read what consumers serve as metrics",
    ("velox.tools.doctor", "velox.consumer"): "how many inference processes there will be is for the consumer to say",
    ("velox.sinks", "velox.requests"): "the sink requests writes through the one adapter of the gateway's store",
    ("velox.sources", "velox.keys"): "keys are published from their table",
    ("velox.keys", "velox.postgres"): "the table may be in PostgreSQL",
    ("velox.requests", "velox.postgres"): "both keep something in PostgreSQL, by the same connections",
    ("velox.sinks", "velox.postgres"): "the sink postgres writes by the same connections",
    ("velox.sinks", "velox.buckets"): "images of detections may go into a bucket",
    ("velox.sinks", "velox.kafka"): "the sink kafka writes through Kafka's one adapter",
}

DRIVERS = {
    "confluent_kafka": {"velox.kafka"},
    "pymongo": {"velox.sinks.mongo"},
    "sqlite3": {
        *("velox.dashboard.sqlite", "velox.keys.sqlite", "velox.requests.database", "velox.sinks.sqlite"),
        "velox.tools.up.results",
    },
    "obstore": {"velox.buckets"},
    "ray": {"velox.cluster"},
    "sqlalchemy": {"velox.requests"},
    "psycopg": {
        *("velox.dashboard.postgres", "velox.keys.pages", "velox.keys.postgres", "velox.postgres"),
        "velox.sinks.postgres",
    },
    "fastapi": {"velox.gateway"},
    "starlette": {"velox.cluster.serving", "velox.dashboard", "velox.gateway"},
    "uvicorn": {"velox.dashboard", "velox.gateway", "velox.web"},
    "limits": {"velox.gateway.rates"},
    "httpcore2": {"velox.webhooks"},
    "standardwebhooks": {"velox.webhooks", "velox.client"},
    "httpx2": {"velox.client"},
    "torch": {"velox.models"},
    "torchvision": {"velox.models"},
    "openvino": {"velox.models.backends.openvino_backend"},
    "onnxruntime": {"velox.models.backends.onnxruntime_backend", "velox.models.quantisation"},
    "tokenizers": {"velox.models.transformer.tokens"},
    "transformers": {"velox.models.transformer.torch_network", "velox.models.transformer.exporting"},
    "huggingface_hub": {"velox.models.transformer.folder"},
    "vaderSentiment": {"velox.models.lexicon_sentiment"},
    "av": {"velox.cameras.stream"},
    "yaml": {"velox.cameras.config", "velox.cluster.config"},
    "simplejpeg": {"velox.cameras.pixels", "velox.images.jpeg", "velox.models.image_classifier"},
    "prometheus_client": {"velox.metrics", "velox.gateway.watching", "velox.probes", "velox.tools.up.scraping"},
    "pydantic": {"velox.settings", "velox.gateway"},
    "pydantic_settings": {"velox.settings"},
    "structlog": {"velox.logs"},
    "opentelemetry": {"velox.otlp"},
    "matplotlib": {"velox.tools.autoscale.picture"},
}
"""Who may import a library: one adapter each, so that the rest of the code never meets its types."""

PARTS = {
    *("KafkaClient", "Fetcher", "Downloads", "Dispatcher", "Writer", "DeadLetters", "Flight", "ExactlyOnce"),
    *("Stages", "Pipeline"),
}
"""What a consumer consists of: made and connected in one place, so that a record's way can be read there."""

ENVIRONMENT = {
    "velox.settings.environment": "reads the settings",
    "velox.consumer.topology": "asks for the GPUs that CUDA shows, and sets what inference processes inherit",
    "velox.commands.train": "sets how torch's threads wait, before there is torch",
    "velox.sources.video": "silences FFmpeg, which has no other switch",
    "velox.tools.up.environment": "hands the environment on to the processes of `velox up`",
}

WHOLE_SETTINGS = {
    "velox.cluster.actors": "starts consumers",
    "velox.cluster.main": "starts consumers, and models by the settings of each",
    "velox.commands.renamed": "reads all settings, also those given by other systems' names",
    "velox.consumer.main": "starts a consumer",
    "velox.consumer.pipeline": "makes all parts of a consumer",
    "velox.dashboard.main": "shows all that a pipeline consists of",
    "velox.sinks.sink": "the contract: a user's sink may read any setting",
    "velox.tools.bench.run": "measures a model, with payloads that the producer would make",
    "velox.tools.doctor.checkup": "runs all checks",
    "velox.tools.doctor.findings": "says what a check is, which may read any setting",
    "velox.tools.doctor.machine": "compares the machine with all that settings ask of it",
    "velox.tools.doctor.sinks": "opens the sinks, also a user's",
    "velox.tools.prepare": "opens whichever sinks there are",
    "velox.tools.doctor.timing": "compares settings with each other",
    "velox.tools.up.api": "starts gateway, models and webhooks",
    "velox.tools.up.environment": "changes settings for an embedded broker",
    "velox.tools.up.pipeline": "watches over producer, consumer and sinks",
    "velox.tools.up.supervisor": "starts all of them",
    "velox.tools.verify.plan": "refuses what does not fit the settings",
    "velox.tools.verify.premises": "makes the settings of a run from the user's",
    "velox.tools.verify.run": "runs producer and consumers, and looks into the sinks",
}
"""Who may take settings as a whole: everybody else takes the class of what it reads, see velox.settings.readers."""

IMPURE = {
    *("asyncio", "http", "io", "multiprocessing", "os", "pathlib", "shutil", "signal", "socket", "subprocess"),
    *("tempfile", "threading", "urllib", "logging"),
}
"""What values and the core do without: they do no I/O and start nothing."""

MAX_MODULE_LINES = 300
MAX_FUNCTION_LINES = 60
MAX_PARAMETERS = 6
MANY_PARAMETERS = {"velox.sources.drawing.draw": "a drawing has that many independent properties, given by name"}


@dataclass(frozen=True, slots=True)
class Module:
    """One file under velox/."""

    name: str
    path: Path
    tree: ast.Module
    lines: int

    @property
    def imports(self) -> Iterator[str]:
        """Every module it imports, wherever in the file, by full name."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.name}: relative import"
                assert node.module is not None
                for alias in node.names:
                    full = f"{node.module}.{alias.name}"
                    yield full if full in names() else node.module


def parse(path: Path) -> Module:
    parts = path.relative_to(ROOT).with_suffix("").parts
    name = ".".join(part for part in parts if part != "__init__")
    text = path.read_text()
    return Module(name, path, ast.parse(text), len(text.splitlines()))


@cache
def names() -> frozenset[str]:
    paths = (path.relative_to(ROOT).with_suffix("").parts for path in (ROOT / "velox").rglob("*.py"))
    return frozenset(".".join(part for part in parts if part != "__init__") for parts in paths)


MODULES = sorted(map(parse, (ROOT / "velox").rglob("*.py")), key=lambda module: module.name)


def covers(prefix: str, name: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}.")


def place(name: str) -> str:
    """Find the line of LAYERS that a module falls under: the longest that covers it."""
    places = [prefix for prefix in LAYERS if covers(prefix, name) and (prefix != "velox" or name == "velox")]
    assert places, f"{name}: which layer is it? Add it to LAYERS"
    return max(places, key=len)


def may_import(own: str, other: str) -> bool:
    if LAYERS[own] != LAYERS[other]:
        return LAYERS[own] > LAYERS[other]
    return own == other or (own, other) in NEIGHBOURS or LAYERS[own] in {VALUES, FOUNDATION, ENTRY}


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for module in MODULES:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{module.name}.{node.name}", node


def test_imports_point_one_way() -> None:
    wrong = [
        f"{module.name} imports {imported}"
        for module in MODULES
        for imported in module.imports
        if covers("velox", imported) and not may_import(place(module.name), place(imported))
    ]
    assert wrong == []


def test_only_its_adapter_imports_a_driver() -> None:
    wrong = [
        f"{module.name} imports {imported}"
        for module in MODULES
        for imported in module.imports
        for driver, allowed in DRIVERS.items()
        if covers(driver, imported) and not any(covers(prefix, module.name) for prefix in allowed)
    ]
    assert wrong == []


def test_only_the_pipeline_makes_the_parts_of_a_consumer() -> None:
    made = {
        (module.name, node.func.id)
        for module in MODULES
        if covers("velox.consumer", module.name)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in PARTS
    }
    assert made == {("velox.consumer.pipeline", part) for part in PARTS}


def test_values_and_core_do_no_io() -> None:
    wrong = [
        f"{module.name} imports {imported}"
        for module in MODULES
        for imported in module.imports
        if LAYERS[place(module.name)] <= CORE and imported.partition(".")[0] in IMPURE
    ]
    assert wrong == []


def test_only_the_settings_read_the_environment() -> None:
    touching = {
        module.name
        for module in MODULES
        for node in ast.walk(module.tree)
        if (isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv", "putenv"})
        or (isinstance(node, ast.ImportFrom) and node.module == "os")
    }
    assert touching == set(ENVIRONMENT)


def test_a_part_takes_the_settings_that_it_reads_and_not_all_of_them() -> None:
    taking = {
        module.name
        for module in MODULES
        if not covers("velox.settings", module.name)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and "Settings" in {alias.name for alias in node.names}
    }
    assert taking == set(WHOLE_SETTINGS)


def test_a_module_is_no_longer_than_can_be_read() -> None:
    assert {module.name: module.lines for module in MODULES if module.lines > MAX_MODULE_LINES} == {}


def test_a_function_fits_on_a_screen() -> None:
    lines = {name: (function.end_lineno or 0) - function.lineno + 1 for name, function in functions()}
    assert {name: count for name, count in lines.items() if count > MAX_FUNCTION_LINES} == {}


def test_a_function_has_few_parameters() -> None:
    many = {name for name, function in functions() if len(parameters(function.args)) > MAX_PARAMETERS}
    assert many == set(MANY_PARAMETERS)


def parameters(arguments: ast.arguments) -> list[str]:
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return [argument.arg for argument in every if argument.arg not in {"self", "cls"}]


def test_no_exception_outlives_its_reason() -> None:
    known = {module.name for module in MODULES}
    assert set(LAYERS) <= known
    assert {prefix for allowed in DRIVERS.values() for prefix in allowed} <= known
    used = {(place(m.name), place(i)) for m in MODULES for i in m.imports if covers("velox", i)}
    assert set(NEIGHBOURS) <= used


def test_every_module_says_what_it_is_for() -> None:
    assert [module.name for module in MODULES if not ast.get_docstring(module.tree)] == []


@cache
def loaded_by(name: str) -> frozenset[str]:
    """Really import a module in a process of its own; answer everything that came with it."""
    code = f"import json, sys, {name}; print(json.dumps(sorted(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return frozenset(json.loads(result.stdout))


@pytest.mark.parametrize(
    "entry",
    [
        "velox.consumer.main",
        "velox.producer",
        "velox.webhooks.main",
        "velox.tools.up",
        "velox.tools.verify",
        "velox.tools.doctor",
        "velox.tools.top",
        "velox.tools.bench",
        "velox.worker.supervisor",
        "velox.cli",
    ],
)
@pytest.mark.parametrize("library", ["torch", "torchvision", "simplejpeg", "vaderSentiment", "tokenizers"])
def test_the_fetcher_the_producer_and_the_cli_never_load_a_model_framework(entry: str, library: str) -> None:
    assert library not in loaded_by(entry)


@pytest.mark.parametrize(
    "library", ["cv2", "numpy", "rich", "structlog", "pymongo", "sqlite3", "sqlalchemy", "obstore"]
)
def test_the_fetcher_loads_a_sinks_driver_with_the_sink_and_no_images_at_all(library: str) -> None:
    assert library not in loaded_by("velox.consumer.main")


@pytest.mark.parametrize(
    "library",
    [
        "confluent_kafka",
        "pymongo",
        "bson",
        "sqlite3",
        "obstore",
        "rich",
        "structlog",
        "prometheus_client",
        "http.server",
    ],
)
def test_an_inference_process_loads_no_driver_and_no_server(library: str) -> None:
    assert library not in loaded_by("velox.consumer.inference")


@pytest.mark.parametrize("library", ["torch", "torchvision", "cv2", "numpy", "vaderSentiment", "tokenizers"])
def test_a_model_framework_is_loaded_by_the_model_that_needs_it(library: str) -> None:
    assert library not in loaded_by("velox.consumer.inference")


@pytest.mark.parametrize(
    "library",
    ["confluent_kafka", "numpy", "pydantic", "sqlalchemy", "fastapi", "prometheus_client", "structlog", "rich"],
)
def test_who_only_asks_a_gateway_loads_nothing_that_serves(library: str) -> None:
    assert library not in loaded_by("velox.client")


@pytest.mark.parametrize("entry", ["velox.consumer.main", "velox.consumer.inference"])
def test_what_is_looked_for_would_be_found(entry: str) -> None:
    assert {entry, "velox.settings", "pydantic"} <= loaded_by(entry)


@pytest.mark.parametrize("library", ["confluent_kafka", "pymongo", "obstore", "fastapi", "numpy"])
def test_a_webhook_worker_loads_nothing_of_kafka_and_the_gateway(library: str) -> None:
    assert library not in loaded_by("velox.webhooks.main")


@pytest.mark.parametrize("entry", ["velox.consumer.main", "velox.gateway.main", "velox.webhooks.main"])
def test_without_a_collector_nothing_that_makes_spans_is_loaded(entry: str) -> None:
    assert {"opentelemetry.sdk", "opentelemetry.proto", "velox.otlp"}.isdisjoint(loaded_by(entry))
    assert "velox.spans" in loaded_by(entry)


def test_the_sinks_are_what_loads_their_drivers() -> None:
    assert "pymongo" in loaded_by("velox.sinks.mongo")
    assert "sqlite3" in loaded_by("velox.sinks.sqlite")
    assert "sqlalchemy" in loaded_by("velox.sinks.requests")


def test_the_bucket_is_what_loads_its_library() -> None:
    assert "obstore" in loaded_by("velox.buckets.store")
