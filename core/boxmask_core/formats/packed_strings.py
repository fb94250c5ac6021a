"""Many short texts that take no more memory than their bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_END = b"\0"


class PackedStrings:
    """Texts in order: a list of as many objects would take five to thirty times their bytes.

    Args:
        texts: Texts without the character NUL, as file names are.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        packed = bytearray()
        self._count = 0
        for text in texts:
            packed += text.encode("utf-8", "surrogatepass") + _END
            self._count += 1
        self._packed = bytes(packed)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        start = 0
        for _ in range(self._count):
            end = self._packed.index(_END, start)
            yield self._packed[start:end].decode("utf-8", "surrogatepass")
            start = end + 1
