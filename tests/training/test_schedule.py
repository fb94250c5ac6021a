from __future__ import annotations

import math

import pytest

from boxmask_training.cfs_settings import CfsSettings
from boxmask_training.schedule import step_decay, warmup_cosine


def test_the_papers_rate_falls_by_a_fifth_every_ten_epochs() -> None:
    paper = CfsSettings()
    rates = [
        paper.lr * step_decay(epoch, factor=paper.lr_factor, every=paper.lr_every) for epoch in range(60)
    ]
    expected = {
        0: 0.005,
        9: 0.005,
        10: 0.004,
        19: 0.004,
        20: 0.0032,
        30: 0.00256,
        50: 0.0016384,
        59: 0.0016384,
    }
    assert {epoch: rates[epoch] for epoch in expected} == pytest.approx(expected, rel=1e-12)


def test_warmup_rises_to_one_and_the_cosine_falls_to_zero() -> None:
    factors = [warmup_cosine(step, total=110, warmup=10) for step in range(110)]
    assert factors[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert factors[9] == factors[10] == 1.0
    assert factors[60] == pytest.approx(0.5)
    assert factors[35] == pytest.approx(0.5 + math.sqrt(2) / 4)
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert 0 < factors[-1] < 0.001
    assert warmup_cosine(200, total=110, warmup=10) == 0.0


def test_a_run_shorter_than_its_warmup_only_rises() -> None:
    assert [warmup_cosine(step, total=3, warmup=50) for step in range(3)] == pytest.approx([0.02, 0.04, 0.06])
