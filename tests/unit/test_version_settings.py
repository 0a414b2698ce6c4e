"""Versions of a model as settings: what is refused, and with which words."""

from pathlib import Path

import pytest

from velox.errors import SettingsError
from velox.settings import load


def test_versions_shares_and_shadow_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_VERSIONS", "v2=a/v2.pth,v3=a/v3.pth,v4=v4.pth")
    monkeypatch.setenv("MODEL_SHARES", "v2=12.5")
    monkeypatch.setenv("MODEL_SHADOW", "v3")

    settings = load()

    assert settings.versions == {"v2": Path("a/v2.pth"), "v3": Path("a/v3.pth"), "v4": Path("v4.pth")}
    assert settings.shares == {"main": 87.5, "v2": 12.5, "v4": 0}


def test_a_version_that_is_promoted_answers_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_VERSIONS", "v2=v2.pth")
    monkeypatch.setenv("DEFAULT_VERSION", "v2")

    assert load().shares == {"v2": 100, "main": 0}


def test_there_are_no_versions_unless_somebody_says_so() -> None:
    assert not load().has_versions


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"MODEL_VERSIONS": "v2"}, "'v2' is no name with its value"),
        ({"MODEL_VERSIONS": "main=m.pth"}, "main is no name for a version"),
        ({"MODEL_SHARES": "v9=10"}, "there is no version v9; there are main"),
        ({"MODEL_SHADOW": "v9"}, "MODEL_SHADOW: there is no version v9"),
        ({"MODEL_VERSIONS": "v2=x", "MODEL_SHARES": "v2=ten"}, "MODEL_SHARES=v2=ten"),
        ({"MODEL_VERSIONS": "v2=x", "MODEL_SHARES": "v2=101"}, "v2=101 is no percentage"),
        ({"MODEL_VERSIONS": "v2=x", "MODEL_SHARES": "v2=1", "MODEL_SHADOW": "v2"}, "a shadow answers nothing"),
        ({"MODEL_VERSIONS": "v2=x", "MODEL_SHARES": "main=1"}, "main is the DEFAULT_VERSION"),
    ],
)
def test_what_does_not_fit_is_refused(told: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in told.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError) as refusal:
        load()

    assert said in str(refusal.value)
