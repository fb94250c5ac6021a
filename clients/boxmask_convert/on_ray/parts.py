"""What goes to the workers of a Ray cluster, and what comes back: parts of a dataset, and their answers.

A part is one row and one block of Ray Data, so that one task answers it: what is lost with a worker is the
parts that it had in hand. Records go out, with paths in place of pixels; lines of the journal come back.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final

import pyarrow as pa
from ray.data import Datasource
from ray.data.block import BlockMetadata
from ray.data.datasource import ReadTask

from boxmask_convert.plan import make_plan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ray.data import DataContext

    from boxmask_convert.settings import Settings
    from boxmask_core.formats.interface import RecordError
    from boxmask_core.instances import ImageRecord

PART: Final = 16
"""Images of a part."""


@dataclass(frozen=True, slots=True)
class ImageTold:
    """What a worker tells of one image.

    Attributes:
        line: The journal's line of its answer; empty where there is none to keep.
        reused: Whether the journal has its answer already.
        failed: Whether it, or a box of it, failed.
        failure: What is wrong, where the whole image failed; else empty.
    """

    line: bytes = b""
    reused: bool = False
    failed: bool = False
    failure: str = ""


@dataclass(frozen=True, slots=True)
class PartTold:
    """What a worker tells of a part.

    Attributes:
        part: Its number.
        images: What became of each of its images.
        problem: Why the worker cannot work at all, in a sentence; empty where it can.
        exit_status: What a command ends with that meets this problem.
    """

    part: int
    images: tuple[ImageTold, ...] = ()
    problem: str = ""
    exit_status: int = 1

    def to_row(self) -> dict[str, bytes]:
        """Returns the row of Ray Data."""
        return {"told": pickle.dumps(self)}

    @classmethod
    def from_row(cls, row: Mapping[str, bytes]) -> PartTold:
        """Reads `to_row`; it comes from this command's own workers."""
        told = pickle.loads(row["told"])
        if not isinstance(told, cls):
            raise TypeError(f"expected a {cls.__name__}, but got {told!r}")
        return told


class Parts(Datasource):
    """A dataset in parts, read in order on this machine, ahead of the workers as far as Ray's store has room.

    Args:
        settings: Of the conversion, with absolute paths.
        images: Images of the dataset.
    """

    def __init__(self, settings: Settings, images: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Ray leaves it untyped
        self._settings = settings
        self._parts = -(-images // PART)

    @property
    def supports_distributed_reads(self) -> bool:
        """No: annotations may lie where only this machine reads them."""
        return False

    def estimate_inmemory_data_size(self) -> int | None:
        """Returns None: nobody knows before they are read."""
        return None

    def get_read_tasks(
        self,
        parallelism: int,  # noqa: ARG002 - a dataset is read from its beginning to its end
        per_task_row_limit: int | None = None,
        data_context: DataContext | None = None,  # noqa: ARG002 - nor by any context
    ) -> list[ReadTask]:
        """Returns the one task that reads the dataset."""
        metadata = BlockMetadata(num_rows=self._parts, size_bytes=None, exec_stats=None)
        task = partial(_blocks, self._settings)
        return [ReadTask(task, metadata, per_task_row_limit=per_task_row_limit)]


def records_of(row: Mapping[str, bytes]) -> Sequence[ImageRecord | RecordError]:
    """Returns the records of a part's row."""
    records: Sequence[ImageRecord | RecordError] = pickle.loads(row["records"])
    return records


def _blocks(settings: Settings) -> Iterator[pa.Table]:
    plan = make_plan(settings)
    records = iter(islice(plan.dataset, len(plan)))
    part = 0
    while some := list(islice(records, PART)):
        yield pa.table({"part": [part], "records": [pickle.dumps(some)]})
        part += 1
