"""What is said of a model's held-out images."""

import numpy as np

from velox.models.evaluation import Evaluation


def test_one_line_says_how_often_each_label_is_right_and_what_is_taken_for_what() -> None:
    confusion = np.array([[9, 1, 0], [0, 10, 0], [2, 0, 8]])
    said = str(Evaluation(("a", "b", "c"), confusion, 0.9))
    assert said == "Held-out images right: a 90.0%, b 100.0%, c 80.0%; 1 of a taken for b; 2 of c taken for a"
