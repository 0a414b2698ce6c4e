"""Records that are predicted although something is wrong with them are all counted, and named now and then."""

import logging

import pytest

from tests.fakes import FakeClock, make_record
from velox.consumer.oddities import Oddities
from velox.metrics.consumer import ConsumerMetrics


def test_all_are_counted_and_one_a_minute_is_named(caplog: pytest.LogCaptureFixture) -> None:
    metrics, clock = ConsumerMetrics(), FakeClock()
    oddities = Oddities(metrics, clock=clock)
    with caplog.at_level(logging.WARNING):
        oddities.hear([])
        assert caplog.messages == []
        for n in range(100):
            oddities.hear([(make_record(2 * n), "no end"), (make_record(2 * n + 1), f"no end {n}")])
        clock.advance(61)
        oddities.hear([(make_record(500), "zeros")])
    assert metrics.total("velox_decode_warnings_total", topic="image_data") == 201
    first, second = caplog.messages
    assert "image_data-0-1 (no end 0); 2 records" in first
    assert "image_data-0-500 (zeros); 199 records since" in second
