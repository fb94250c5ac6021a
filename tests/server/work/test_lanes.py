from __future__ import annotations

from boxmask_server.work.lanes import PATIENCE, Lanes
from boxmask_server.work.urgency import Priority


def test_who_waits_for_an_answer_goes_first_each_lane_by_arrival() -> None:
    lanes = _lanes(bulk=[100, 101], interactive=[1, 2])
    assert [lanes.pop() for _ in range(4)] == [1, 2, 100, 101]
    assert len(lanes) == 0


def test_bulk_gets_a_turn_after_so_many_that_it_let_pass() -> None:
    lanes = _lanes(bulk=[100, 101], interactive=list(range(2 * PATIENCE + 3)))
    order = [lanes.pop() for _ in range(len(lanes))]
    assert order[PATIENCE] == 100
    assert order[2 * PATIENCE + 1] == 101


def test_what_did_not_wait_while_others_passed_gets_no_turn_for_it() -> None:
    lanes = _lanes(bulk=[], interactive=list(range(20)))
    for n in range(PATIENCE):
        assert lanes.pop() == n
    lanes.push(100, Priority.BULK)
    assert lanes.pop() == PATIENCE


def test_looking_takes_no_turn() -> None:
    lanes = _lanes(bulk=[100], interactive=list(range(PATIENCE + 1)))
    for _ in range(100):
        assert lanes.head() == 0
    assert list(lanes) == [*range(PATIENCE + 1), 100]


def test_what_is_not_wanted_is_taken_out_of_both() -> None:
    lanes = _lanes(bulk=[100, 101], interactive=[1, 2, 3])
    lanes.keep(lambda item: item % 2 == 1)
    assert list(lanes) == [1, 3, 101]
    assert (lanes.waiting(Priority.INTERACTIVE), lanes.waiting(Priority.BULK)) == (2, 1)


def _lanes(bulk: list[int], interactive: list[int]) -> Lanes[int]:
    lanes = Lanes[int]()
    for item in bulk:
        lanes.push(item, Priority.BULK)
    for item in interactive:
        lanes.push(item, Priority.INTERACTIVE)
    return lanes
