"""Which predictions are detections."""

import pytest

from velox.core.targets import TargetRule
from velox.records import Prediction


@pytest.mark.parametrize(
    ("patterns", "label", "matches"),
    [
        (("red_circle",), "red_circle", True),
        (("red_circle",), "red_circles", False),
        (("red_circle",), "dark_red_circle", False),
        (("blue_*",), "blue_square", True),
        (("blue_*",), "green_square", False),
        (("*_circle", "blue_*"), "green_circle", True),
        (("*",), "anything", True),
        (("red_?ircle",), "red_circle", True),
        (("Red_Circle",), "red_circle", False),
        ((), "red_circle", False),
    ],
)
def test_labels_match_names_and_patterns_whole_and_in_case(
    patterns: tuple[str, ...], label: str, *, matches: bool
) -> None:
    assert TargetRule(patterns, 0.5).is_detection(Prediction(label, 0.9)) is matches


@pytest.mark.parametrize(("confidence", "detected"), [(0.89, False), (0.9, True), (0.91, True), (1.0, True)])
def test_the_threshold_itself_is_enough(confidence: float, *, detected: bool) -> None:
    assert TargetRule(("red_circle",), 0.9).is_detection(Prediction("red_circle", confidence)) is detected


def test_asking_twice_gives_the_same_answer() -> None:
    rule = TargetRule(("red_*",), 0.5)
    assert [rule.is_detection(Prediction("red_circle", 0.9)) for _ in range(2)] == [True, True]
    assert [rule.is_detection(Prediction("blue_circle", 0.9)) for _ in range(2)] == [False, False]


def test_no_number_is_no_detection() -> None:
    assert not TargetRule(("*",), 0.0).is_detection(Prediction("red_circle", float("nan")))


@pytest.mark.parametrize(("pattern", "can"), [("red_circle", True), ("*_circle", True), ("blue_*", False), ("*", True)])
def test_a_rule_knows_whether_a_model_can_ever_answer_a_target(pattern: str, can: bool) -> None:
    assert TargetRule((pattern,), 0.9).can_match(["green_square", "red_circle"]) is can
