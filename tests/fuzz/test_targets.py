from __future__ import annotations

from typing import Any

import pytest

from tests.fuzz.exploration import explore
from tests.fuzz.target import OK
from tests.fuzz.targets import TARGETS

EXAMPLES = 60
HARDLY_EVER_WHOLE = {"images, any bytes", "label maps, built", "ModelInferRequest, any fields"}


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_comes_is_answered_by_a_result_or_by_an_error_of_the_table(name: str) -> None:
    target = TARGETS[name]
    last: list[Any] = []
    outcomes: set[str] = set()
    try:
        explore(
            target,
            examples=int(EXAMPLES * target.share),
            seed=1,
            before=lambda example: last.__setitem__(slice(None), [example]),
            after=outcomes.add,
        )
    except Exception as error:
        error.add_note(f"python -m tests.fuzz --only {name!r} --input FILE, where FILE holds {last[0]!r}")
        raise
    if name not in HARDLY_EVER_WHOLE:
        assert OK in outcomes, "nothing was ever taken: the target is fed with nonsense alone"
