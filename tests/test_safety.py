"""What never appears in the code: ways in which data from outside could become code, or a file anywhere."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from velox.records import ID_HEADER, Position, record_id
from velox.sinks.images import image_path

ROOT = Path(__file__).parents[1]
SOURCES = [*ROOT.glob("*.py"), *(path for folder in ("velox", "examples") for path in (ROOT / folder).rglob("*.py"))]

UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
"""Libraries whose files can be programs. Between processes that Velox itself started, multiprocessing uses one."""
EVALUATORS = {"eval", "exec", "compile", "__import__"}
LOADERS = {("torch", "load"), ("numpy", "load"), ("np", "load"), ("yaml", "load"), ("yaml", "unsafe_load")}


def dangers(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (f"imports {name}" for name in names if name.partition(".")[0] in UNPICKLERS)
        elif isinstance(node, ast.Call):
            yield from call_dangers(node)


def call_dangers(call: ast.Call) -> Iterator[str]:
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    if isinstance(call.func, ast.Name) and call.func.id in EVALUATORS:
        yield f"calls {call.func.id}"
    elif isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name):
        name = (call.func.value.id, call.func.attr)
        weights_only = given.get("weights_only")
        is_safe = isinstance(weights_only, ast.Constant) and weights_only.value is True
        if name in LOADERS and not is_safe:
            yield f"calls {'.'.join(name)}"
    shell = given.get("shell")
    if isinstance(shell, ast.Constant) and shell.value:
        yield "starts a shell"


def test_nothing_that_comes_from_outside_is_ever_run() -> None:
    found = {str(path.relative_to(ROOT)): what for path in SOURCES for what in dangers(ast.parse(path.read_text()))}
    assert found == {}


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "eval(text)",
        "torch.load(file)",
        "torch.load(file, weights_only=False)",
        "yaml.load(text)",
        "np.load(path)",
        "subprocess.run(text, shell=True)",
    ],
)
def test_a_danger_would_be_found(code: str) -> None:
    assert len(list(dangers(ast.parse(code)))) == 1


def test_weights_that_are_only_weights_are_no_danger() -> None:
    assert list(dangers(ast.parse("torch.load(file, weights_only=True)"))) == []


@pytest.mark.parametrize(
    "hostile",
    ["../../etc/passwd", "/etc/passwd", "a/b", "..", ".hidden", "a\0b", "a\nb", "", "x" * 500, "bücher", "$(id)"],
)
def test_no_id_leads_out_of_the_folder(tmp_path: Path, hostile: str) -> None:
    chosen = record_id(Position("image_data", 3, 14), [(ID_HEADER, hostile.encode())])
    path = Path(image_path(tmp_path, chosen))
    assert path.parent == tmp_path
    assert path.name == "hit_image_data-3-14.jpg"


SECRETS = re.compile(
    "|".join(
        (
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
            r"\bAKIA[0-9A-Z]{16}\b",
            r"\bgh[pousr]_[A-Za-z0-9]{36}\b",
            r"\bxox[abprs]-[0-9A-Za-z-]{20,}",
            r"\bvx_[0-9a-f]{12}_[A-Za-z0-9_-]{43}\b",
        )
    )
)
"""Private keys, keys of clouds and of other services, API keys of a gateway."""
KINDS = {".py", ".md", ".toml", ".yml", ".yaml", ".json", ".env", ".sh", ".txt", ".svg", ""}
NOT_OURS = {".git", ".venv", ".venv-peers", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", "results"}


def texts() -> Iterator[Path]:
    for path in ROOT.rglob("*"):
        is_ours = NOT_OURS.isdisjoint(path.relative_to(ROOT).parts)
        if is_ours and path.suffix in KINDS and path.is_file() and path.stat().st_size < 2**20:
            yield path


def test_no_secret_lies_in_the_project() -> None:
    found = [str(path.relative_to(ROOT)) for path in texts() if SECRETS.search(path.read_text(errors="replace"))]
    assert found == []


@pytest.mark.parametrize(
    "secret",
    ["-----BEGIN EC " + "PRIVATE KEY-----", "AKIA" + "A" * 16, "ghp_" + "a" * 36, "vx_" + "0" * 12 + "_" + "b" * 43],
)
def test_a_secret_would_be_found(secret: str) -> None:
    assert SECRETS.search(f"token = '{secret}'")
