"""What the calculation for large rates answers, on costs made up here."""

from dataclasses import replace
from math import ceil
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.fleet import Assumptions, Costs, Plan, Prices, price_per_million, swings
from benchmarks.scale_out import main, measured
from benchmarks.scale_out_page import section

COSTS = Costs(fetcher_ms=0.5, inference_ms=5.0, decode_ms=0.5, broker_ms=0.1, database_ms=0.2, image_bytes=10_000)
PLAN = Plan(1e6, COSTS)


def plan_with(**given: float) -> Plan:
    return replace(PLAN, given=replace(Assumptions(), **given))


def test_a_core_does_a_second_of_cpu_a_second_as_far_as_it_may_be_busy() -> None:
    assert plan_with(use=1.0).fleet().cores == pytest.approx(5500)
    assert plan_with(use=0.5).fleet().cores == pytest.approx(11_000)
    assert plan_with(use=1.0, core_speed=2.0).fleet().cores == pytest.approx(2750)


def test_twice_the_rate_takes_twice_of_what_is_not_counted_in_whole_machines() -> None:
    one, two = PLAN.fleet(), replace(PLAN, images_per_s=2e6).fleet()
    for name in ("cores", "produced_bytes", "broker_in_bytes", "kept_bytes", "stored_per_s", "gpu_cores"):
        assert getattr(two, name) == pytest.approx(2 * getattr(one, name)), name
    assert two.brokers == pytest.approx(2 * one.brokers, abs=1)


def test_a_million_images_costs_the_same_at_any_large_rate() -> None:
    one, ten = (sum(price_per_million(replace(PLAN, images_per_s=rate)).values()) for rate in (1e6, 1e7))
    assert ten == pytest.approx(one, rel=0.01)


def test_a_consumer_has_as_many_inference_processes_as_its_fetcher_can_feed() -> None:
    needed = PLAN.fleet()
    assert needed.inference_per_consumer == 10
    assert needed.consumers == ceil(needed.inference_processes / 10)
    assert needed.partitions >= 2 * needed.consumers


def test_a_model_that_costs_less_than_fetching_takes_a_fetcher_for_each_core_of_fetching() -> None:
    needed = replace(PLAN, costs=replace(COSTS, inference_ms=0.1), given=replace(Assumptions(), use=1.0)).fleet()
    assert (needed.inference_per_consumer, needed.consumers) == (1, 500)


def test_replicas_multiply_what_brokers_take_in_and_keep() -> None:
    needed = plan_with(replicas=3, retention_hours=2).fleet()
    assert needed.produced_bytes == 10e9
    assert needed.broker_in_bytes == 30e9
    assert needed.broker_out_bytes == 30e9, "to two replicas and to the consumers"
    assert needed.kept_bytes == 30e9 * 7200


def test_each_limit_of_a_broker_asks_for_brokers_and_the_tightest_decides() -> None:
    bounds = plan_with(use=1.0, retention_hours=1).fleet().broker_bounds
    assert bounds["network in"] == ceil(30e9 / (25e9 / 8))
    assert bounds["disk writes"] == 15
    assert bounds["disk space"] == ceil(30e9 * 3600 / 15e12)
    assert bounds["cores"] == ceil(1e6 * 0.1e-3 * 3 / 16)
    slow = plan_with(broker_disk_mb_per_s=100).fleet()
    assert slow.brokers == slow.broker_bounds["disk writes"] == max(slow.broker_bounds.values())
    tiny = replace(PLAN, images_per_s=1.0).fleet()
    assert tiny.brokers == 3, "no fewer than there are replicas"


def test_partitions_follow_the_bytes_when_there_are_few_consumers() -> None:
    assert plan_with(partition_mb_per_s=1).fleet().partitions == 10_000


def test_gpus_leave_fetching_and_decoding_to_cores() -> None:
    needed = plan_with(use=1.0, gpu_images_per_s=10_000).fleet()
    assert needed.gpus == 100
    assert needed.gpu_cores == pytest.approx(1000)


def test_prices_are_an_hours_for_the_hours_that_a_million_takes() -> None:
    plan = replace(
        plan_with(use=1.0), prices=replace(Prices(), core_hour_price=3.6, crossing_share=0.5, network_gb_price=1.0)
    )
    terms = price_per_million(plan)
    assert terms["inference and fetch"] == pytest.approx(5.5), "1 s of 5,500 cores at 0.001 a core and second"
    assert terms["network between zones"] == pytest.approx(10 * 2.5), "10 GB, to two other zones, read half from others"
    assert "GPUs" not in terms
    assert "inference and fetch" not in price_per_million(replace(plan, on_gpus=True))


def test_the_input_that_moves_the_price_most_comes_first_and_shares_end_at_one() -> None:
    found = swings(replace(PLAN, prices=replace(Prices(), network_gb_price=100.0)))
    assert found[0].name in {"replicas", "image_bytes", "compression", "network_gb_price"}
    by_name = {swing.name: swing for swing in found}
    assert by_name["use"].half > by_name["use"].twice
    assert by_name["gpu_hour_price"].half == by_name["gpu_hour_price"].twice, "no GPU in it"
    assert replace(PLAN).with_input("given", "use", 2.0).given.use == 1.0


def test_the_page_names_every_input_the_deciding_limit_and_that_no_gpu_was_measured() -> None:
    text = section(plan_with(broker_disk_mb_per_s=100), source="made up", priced="2026-11-21")
    assert "(made up)" in text
    assert "**disk writes** decides" in text
    assert "No GPU was measured" in text
    assert all(f"| `{name}` |" in text for name in ("use", "replicas", "gpu_images_per_s", "core_hour_price"))


def test_costs_are_those_of_velox_with_default_settings_in_a_scene_of_make_bench() -> None:
    cpu_ms = {"fetcher": 0.5, "inference": 5.0, "broker": 0.1, "database": 0.2}
    scene = {"name": "shapes", "image_bytes": 10_000, "designs": {"Velox": {"cpu_ms": cpu_ms}, "naive": {"cpu_ms": {}}}}
    figures = {"scenes": [scene], "stages": {"shapes": {"alone": {"decode": 0.3, "resize": 0.2, "predict": 4.0}}}}
    assert measured(figures, "shapes") == COSTS
    with pytest.raises(KeyError):
        measured(figures, "photos")


def test_without_measured_costs_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(report, "recorded", lambda _name: None)
    assert main([]) == 2
    given = "--fetcher-ms 1 --inference-ms 5 --decode-ms 1 --broker-ms 1 --database-ms 1 --image-bytes 1000"
    assert main(given.split()) == 0
    assert "1,000,000 images/s" in capsys.readouterr().out
