"""Work done some items ahead of their turn, by several threads: disks and networks answer late."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

THREADS: Final = 4

Item = TypeVar("Item")
Done = TypeVar("Done")


def in_turn(items: Iterable[Item], work: Callable[[Item], Done], *, ahead: int) -> Iterator[Done]:
    """Yields what work makes of each item, in the order of the items.

    Args:
        items: Taken one after the other, by the caller's thread.
        work: Called by threads of its own, some at a time.
        ahead: Items whose results may wait in memory.
    """
    waiting: deque[Future[Done]] = deque()
    with ThreadPoolExecutor(THREADS, thread_name_prefix="ahead") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
