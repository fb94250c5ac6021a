from __future__ import annotations

import contextlib
import time

import pytest

from boxmask_client import Timings
from boxmask_convert.result.stage_times import StageTimes, told

TIMES = Timings(
    decode_ms=10, crop_ms=5, network_ms=9000, inference_ms=60, refine_ms=25, encode_ms=0, total_ms=9999
)


def test_work_is_added_up_by_stage_and_waiting_is_no_work() -> None:
    times = StageTimes()
    times.add(TIMES)
    times.add(TIMES)
    assert times.totals() == {"decode": 20, "crop": 10, "network": 120, "refine": 50, "encode": 0}


def test_the_busiest_stage_comes_first_in_threads_at_work() -> None:
    times = StageTimes()
    times.add(TIMES)
    busy = times.busy(0.04)
    assert list(busy) == ["network", "refine", "decode", "crop", "encode"]
    assert busy["network"] == pytest.approx(1.5)
    assert told(busy).startswith("busy    network 1.50, refine 0.62, decode 0.25")


def test_a_block_is_measured_also_where_it_fails() -> None:
    times = StageTimes()
    with contextlib.suppress(ZeroDivisionError), times.measured("write"):
        time.sleep(0.01)
        raise ZeroDivisionError
    assert times.totals()["write"] >= 10


def test_a_run_without_images_has_nothing_to_tell() -> None:
    assert told(StageTimes().busy(1.0)) == ""
    times = StageTimes()
    times.add(TIMES)
    assert times.busy(0.0) == {}
