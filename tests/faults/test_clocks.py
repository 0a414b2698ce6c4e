"""Wall clocks that jump: nothing waits by them."""

import os
from pathlib import Path

import pytest

from tests.e2e.pipeline import REPOSITORY
from tests.faults.conftest import LedgerFactory

JUMPING = Path(__file__).with_name("jumping")


@pytest.mark.fault("wall clock of the consumer jumps while records flow", "nobody notices but the timestamps")
@pytest.mark.parametrize("jump_s", [3600, -3600, -820_000_000], ids=["an hour on", "an hour back", "to the year 2000"])
def test_a_clock_that_jumps_disturbs_nothing(ledger: LedgerFactory, tmp_path: Path, jump_s: int) -> None:
    clock = tmp_path / "clock"
    clock.write_text("0")
    one = ledger()
    one.load.begin()
    consumer = one.consume(PYTHONPATH=os.pathsep.join([str(JUMPING), str(REPOSITORY)]))
    one.wait_until_stored(50)
    (tmp_path / "new").write_text(str(jump_s))
    (tmp_path / "new").rename(clock)
    one.fault()
    one.wait_for_more(200)
    hours = {line[:13] for line in consumer.output.splitlines()}
    assert len(hours) > 1, "the consumer's own clock has jumped"
    assert consumer.metric("velox_end_to_end_seconds_sum") >= 0
    assert not consumer.says("Lost")
    assert consumer.output.count("Assigned") == 1
    one.finish(consumer)
    assert one.duplicates() == 0
