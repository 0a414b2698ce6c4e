"""config.yaml: the known shape is read, and what Ray would silently not do is refused."""

from pathlib import Path

import pytest
import yaml

from velox.cluster.config import ClusterConfig, parse, read
from velox.errors import SettingsError

ROOT = Path(__file__).parents[2]
KNOWN = """
classifier1:
  num_gpus: 0.25
  min_replicas: 1
  initial_replicas: 2
  max_replicas: 4
  target_num_ongoing_requests_per_replica: 10
  graceful_shutdown_timeout_s: 60
  max_batch_size: 10
  batch_wait_timeout_s: 0.1
classifier2:
  num_gpus: 0.25
  max_batch_size: 4
inference:
  num_gpus: 0
  min_replicas: 1
  max_replicas: 3
"""


def parsed(**entries: object) -> ClusterConfig:
    return parse(yaml.safe_dump(entries, sort_keys=False), Path("config.yaml"))


def refusal(**entries: object) -> str:
    with pytest.raises(SettingsError) as caught:
        parsed(**entries)
    return str(caught.value)


def test_the_known_shape_is_read_with_old_names() -> None:
    config = parse(KNOWN, Path("config.yaml"))
    first, second = config.classifiers
    assert (first.name, second.name, config.ingress.name) == ("classifier1", "classifier2", "inference")
    assert (first.min_replicas, first.initial_replicas, first.max_replicas) == (1, 2, 4)
    assert (first.target_ongoing_requests, first.max_batch_size, first.batch_wait_timeout_s) == (10, 10, 0.1)
    assert first.resources == {"num_cpus": 0.0, "num_gpus": 0.25}, "a replica on a GPU needs no core of its own"
    assert (second.min_replicas, second.max_replicas) == (1, 1)
    assert config.ingress.max_replicas == 3


def test_the_present_name_means_the_same() -> None:
    old = parsed(one={"target_num_ongoing_requests_per_replica": 7})
    assert parsed(one={"target_ongoing_requests": 7}) == old


def test_what_is_left_out_fits_what_is_given() -> None:
    (one,) = parsed(one={"max_batch_size": 64, "target_ongoing_requests": 200, "max_replicas": 2}).classifiers
    assert one.max_ongoing_requests == 200
    assert one.initial_replicas == 1
    (two,) = parsed(two={"min_replicas": 3, "look_back_period_s": 100}).classifiers
    assert (two.initial_replicas, two.max_replicas, two.upscale_delay_s) == (3, 3, 100)


def test_models_may_have_any_name_and_inference_may_be_left_out() -> None:
    config = parsed(shapes={"model": "pipelines/cameras.env"}, faces={"model": "mine.faces:Faces"})
    assert [each.model for each in config.classifiers] == ["pipelines/cameras.env", "mine.faces:Faces"]
    assert config.ingress.num_cpus == 0


def test_it_says_what_has_to_be_set_aside() -> None:
    config = parsed(one={"num_cpus": 0.5, "initial_replicas": 2, "max_replicas": 2}, two={"num_gpus": 1})
    assert (config.least_cpus, config.least_gpus) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"max_batch_size": 16, "max_ongoing_requests": 31}, "batches never fill: set it to 32 or more"),
        ({"target_ongoing_requests": 17, "max_ongoing_requests": 16}, "set max_ongoing_requests to 17 or more"),
        ({"max_replicas": 2, "upscale_delay_s": 5}, "upscale_delay_s=5: less than look_back_period_s=30"),
        ({"max_replicas": 2, "downscale_delay_s": 5}, "downscale_delay_s=5: less than look_back_period_s=30"),
        ({"upscaling_factor": 2, "target_ongoing_requests": 0.1}, "overshoots again and again"),
        ({"min_replicas": 3, "max_replicas": 2}, "min_replicas=3 is more than max_replicas=2"),
        ({"initial_replicas": 3, "max_replicas": 2}, "initial_replicas=3 is not between"),
        ({"max_batch_sise": 4}, "max_batch_sise is unknown; did you mean max_batch_size?"),
        ({"autoscaling_config": {"max_ongoing_requests": 4}}, "its keys stand directly under the deployment"),
        ({"max_batch_size": "8"}, "max_batch_size: '8' is not a whole number from 1 to 4096"),
        ({"max_batch_size": True}, "max_batch_size: True is not a whole number"),
        ({"num_gpus": -1}, "num_gpus: -1 is not a number from 0 to 1024"),
        ({"model": "resnet"}, "'resnet' is neither package.module:ClassName nor a pipeline's file"),
        ({"target_ongoing_requests": 1, "target_num_ongoing_requests_per_replica": 1}, "write one of the two"),
        ([1], "[1] is no list of keys with values"),
    ],
)
def test_what_ray_would_not_do_is_refused_with_the_remedy(entry: object, problem: str) -> None:
    said = refusal(classifier1=entry)
    assert said.startswith("config.yaml, classifier1: ")
    assert problem in said


def test_short_delays_are_fine_where_the_number_of_replicas_is_fixed() -> None:
    (one,) = parsed(one={"upscale_delay_s": 1, "downscale_delay_s": 1}).classifiers
    assert one.upscale_delay_s == 1


def test_batches_are_for_models() -> None:
    assert "config.yaml, inference: max_batch_size is for models" in refusal(one={}, inference={"max_batch_size": 4})


def test_a_name_has_to_be_one_for_a_deployment() -> None:
    assert "no name for a deployment" in refusal(**{"1/2": {}})


@pytest.mark.parametrize("text", ["", "inference: {}", "[]", "text"])
def test_a_file_without_models_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="name at least one model"):
        parse(text, Path("config.yaml"))


def test_what_is_no_yaml_is_refused_in_one_line() -> None:
    with pytest.raises(SettingsError, match=r"^config.yaml: no YAML: [^\n]+$"):
        parse("a: [", Path("config.yaml"))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.yaml: No such file or directory"):
        read(tmp_path / "none.yaml")


def test_the_repositorys_own_is_read() -> None:
    config = read(ROOT / "config.yaml")
    assert [each.name for each in config.classifiers] == ["classifier1", "classifier2"]
    assert config.least_cpus <= 2, "it starts on two cores"
