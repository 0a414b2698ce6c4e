"""What velox bench makes of its measurements."""

import pytest

from velox import cli
from velox.settings import Settings
from velox.tools.bench.measure import Measured, Timing, batch_sizes
from velox.tools.bench.run import summed_up


def measured(decode_ms: float, predict_ms: dict[int, float]) -> Measured:
    predict = {size: Timing(1000, ms) for size, ms in predict_ms.items()}
    return Measured("own", "1", 0, Timing(1000, decode_ms), predict)


@pytest.mark.parametrize(("largest", "sizes"), [(1, [1]), (2, [1, 2]), (8, [1, 2, 4, 8]), (12, [1, 2, 4, 8, 12])])
def test_batch_sizes_double_up_to_the_largest(largest: int, sizes: list[int]) -> None:
    assert batch_sizes(largest) == sizes


def test_the_roofline_is_what_all_processes_do_when_nothing_else_costs_anything() -> None:
    report = summed_up([measured(1, {1: 5, 8: 3}), measured(1, {1: 5, 8: 5})], Settings(batch_size=8), "somewhere")
    assert (report.processes, report.decode_ms, report.predict_ms) == (2, 1, {1: 5, 8: 4})
    assert report.records_per_s(8) == 400
    assert report.best_batch_size == 8


@pytest.mark.parametrize(("decode_ms", "bound"), [(3, "predict bounds"), (5, "decode bounds")])
def test_what_takes_more_of_a_record_is_what_bounds(decode_ms: float, bound: str) -> None:
    report = summed_up([measured(decode_ms, {8: 4})], Settings(batch_size=8), "somewhere")
    assert report.sentence().startswith(bound)


def test_it_measures_twenty_seconds_by_default() -> None:
    args = cli._parser().parse_args(["bench"])
    assert (args.for_s, args.count, args.json) == (20.0, 256, None)


@pytest.mark.parametrize(("decode_ms", "per_s", "bound"), [(6, 250, "predict"), (20, 200, "decode")])
def test_what_is_decoded_on_threads_takes_no_time_of_its_own(decode_ms: float, per_s: float, bound: str) -> None:
    report = summed_up([measured(decode_ms, {8: 4})], Settings(batch_size=8, decode_threads=4), "somewhere")
    assert report.records_per_s(8) == pytest.approx(per_s)
    assert report.sentence().startswith(f"{bound} bounds")
