from __future__ import annotations

from contextlib import ExitStack

import pytest

from boxmask_core.errors import TooManyCallsError
from boxmask_server.operation.allowances import Allowances
from boxmask_server.operation.tokens import Caller


def test_a_caller_has_no_more_calls_at_once_than_its_token_allows() -> None:
    allowances = Allowances(100)
    two = Caller("two", calls=2)
    with ExitStack() as stack:
        stack.enter_context(allowances.call(two))
        with allowances.call(two), pytest.raises(TooManyCallsError, match=r"'two' .* 2 calls at once"):
            stack.enter_context(allowances.call(two))
        with allowances.call(two):  # one has ended
            assert allowances.calls == 2
        for _ in range(10):
            stack.enter_context(allowances.call(Caller("other")))
    assert allowances.calls == 0


def test_all_callers_together_have_no_more_calls_than_the_server_allows() -> None:
    allowances = Allowances(2)
    with (
        allowances.call(None),
        allowances.call(Caller("one")),
        pytest.raises(TooManyCallsError, match="--concurrent-calls"),
        allowances.call(None),
    ):
        pass
    with allowances.call(None):
        assert allowances.calls == 1


def test_a_call_that_fails_gives_its_place_back() -> None:
    allowances = Allowances(1)
    with pytest.raises(ZeroDivisionError), allowances.call(None):
        raise ZeroDivisionError
    assert allowances.calls == 0


def test_calls_are_begun_at_the_rate_of_the_token_and_one_second_may_be_saved_up() -> None:
    now = [100.0]
    allowances = Allowances(100, lambda: now[0])
    four = Caller("four", rate=4)

    def begun() -> int:
        count = 0
        try:
            while True:
                with allowances.call(four):
                    count += 1
        except TooManyCallsError as error:
            assert 0 < error.retry_seconds <= 0.25  # noqa: PT017 - the loop ends by it
        return count

    assert begun() == 4
    now[0] += 0.5
    assert begun() == 2
    now[0] += 3600
    assert begun() == 4
