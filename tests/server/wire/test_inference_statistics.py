from __future__ import annotations

import asyncio

import pytest

from boxmask_core.errors import DeadlineError
from boxmask_server.wire.inference_statistics import InferenceStatistics, ModelKey

KEY = ModelKey("tiny", "1", "cfs")


def test_a_request_s_time_is_split_into_work_and_waiting() -> None:
    statistics = InferenceStatistics()
    with statistics.request(KEY) as work:
        work.items, work.input_ms, work.infer_ms, work.output_ms = 3, 1e-5, 2e-5, 3e-5
    told = statistics.of(KEY, "cfs")
    times = told.inference_stats
    assert told.inference_count == 3
    assert (times.compute_input.ns, times.compute_infer.ns, times.compute_output.ns) == (10, 20, 30)
    assert times.success.ns == pytest.approx(times.queue.ns + 60, abs=2)


def test_work_side_by_side_that_exceeds_the_time_leaves_no_waiting() -> None:
    statistics = InferenceStatistics()
    with statistics.request(KEY) as work:
        work.infer_ms = 1e6
    assert statistics.of(KEY, "cfs").inference_stats.queue.ns == 0


def test_an_error_counts_as_failed_and_a_cancelled_request_as_nothing() -> None:
    statistics = InferenceStatistics()
    with pytest.raises(DeadlineError), statistics.request(KEY):
        raise DeadlineError
    with pytest.raises(asyncio.CancelledError), statistics.request(KEY):
        raise asyncio.CancelledError
    times = statistics.of(KEY, "cfs").inference_stats
    assert (times.fail.count, times.success.count, times.queue.count) == (1, 0, 0)


def test_what_is_held_no_longer_is_forgotten() -> None:
    statistics = InferenceStatistics()
    newer = KEY._replace(version="2")
    for key in (KEY, newer):
        with statistics.request(key) as work:
            work.items = 1
    statistics.forget_all_but({newer})
    assert statistics.of(KEY, "cfs").inference_count == 0
    assert statistics.of(newer, "cfs").inference_count == 1
