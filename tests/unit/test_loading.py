"""Classes named in settings: a wrong name is blamed on the name, an error within the module is not."""

from pathlib import Path

import pytest

from velox.errors import SettingsError
from velox.loading import load_class


@pytest.fixture(autouse=True)
def _modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "velox_test_good.py").write_text("class Model: ...\n")
    (tmp_path / "velox_test_half.py").write_text("from math import nothing_of_the_kind\n")
    (tmp_path / "velox_test_broken.py").write_text("import math\nmath.nothing_of_the_kind\n")
    monkeypatch.syspath_prepend(str(tmp_path))


def test_a_class_is_found_by_its_path() -> None:
    assert load_class("velox_test_good:Model").__name__ == "Model"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (
            "velox_test_absent:Model",
            "velox_test_absent:Model: No module named 'velox_test_absent'; is it on PYTHONPATH",
        ),
        ("velox_test_half:Model", "velox_test_half:Model: cannot import name 'nothing_of_the_kind'"),
        ("velox_test_good:Other", "velox_test_good:Other: module velox_test_good has no class Other"),
    ],
)
def test_a_path_that_leads_nowhere_is_named(path: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_class(path)
    assert str(caught.value).startswith(said)


def test_an_error_within_the_module_is_not_blamed_on_the_name() -> None:
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        load_class("velox_test_broken:Model")
