"""Two lanes: who waits for somebody goes first, and what has time is never left standing."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from boxmask_server.work.urgency import Priority

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

Item = TypeVar("Item")

PATIENCE: Final = 7
"""Interactive items in a row that bulk items which wait let pass; then one of theirs goes."""


class Lanes(Generic[Item]):
    """A queue that serves interactive items first, and a bulk item after every few of them."""

    def __init__(self) -> None:
        self._lanes: dict[Priority, deque[Item]] = {priority: deque() for priority in Priority}
        self._let_pass = 0

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def __iter__(self) -> Iterator[Item]:
        """Yields what waits: the lane whose turn it is, then the other, each by arrival."""
        first = self._turn()
        yield from self._lanes[first]
        yield from self._lanes[_other(first)]

    def waiting(self, priority: Priority) -> int:
        """Returns how many items wait in a lane."""
        return len(self._lanes[priority])

    def head(self, blocked: Container[Priority] = ()) -> Item | None:
        """Returns the item whose turn it is, lanes that are blocked left out; None where none waits."""
        turn = self._turn()
        for priority in (turn, _other(turn)):
            if priority not in blocked and self._lanes[priority]:
                return self._lanes[priority][0]
        return None

    def push(self, item: Item, priority: Priority) -> None:
        """Appends an item to its lane."""
        self._lanes[priority].append(item)

    def pop(self) -> Item:
        """Takes the item whose turn it is.

        Raises:
            IndexError: None waits.
        """
        priority = self._turn()
        item = self._lanes[priority].popleft()
        self.served(priority)
        return item

    def served(self, priority: Priority) -> None:
        """Notes that a lane had its turn."""
        self._let_pass = 0 if priority is Priority.BULK else self._let_pass + 1

    def drop(self, priority: Priority) -> None:
        """Takes out a lane's first item; no turn is spent on it."""
        self._lanes[priority].popleft()

    def keep(self, wanted: Callable[[Item], bool]) -> None:
        """Takes out the items that are not wanted; no turn is spent on them."""
        for priority, lane in self._lanes.items():
            self._lanes[priority] = deque(item for item in lane if wanted(item))

    def _turn(self) -> Priority:
        if not self._lanes[Priority.BULK]:
            self._let_pass = 0
            return Priority.INTERACTIVE
        if not self._lanes[Priority.INTERACTIVE] or self._let_pass >= PATIENCE:
            return Priority.BULK
        return Priority.INTERACTIVE


def _other(priority: Priority) -> Priority:
    return Priority.BULK if priority is Priority.INTERACTIVE else Priority.INTERACTIVE
