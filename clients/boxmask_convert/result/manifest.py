"""What a result was made from, so that a second run can tell that there is nothing to do."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import blake2b
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, Self

from boxmask_convert.result.stage import JOURNAL
from boxmask_core.atomic import write_bytes_atomically
from boxmask_core.formats.interface import RecordError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from boxmask_convert.answers.reading import Keyed
    from boxmask_convert.plan import Plan
    from boxmask_core.instances import Instance

_FILE: Final = "manifest.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the files of a result depend on.

    Attributes:
        output: What was asked of the output: its format, the classes, the policies.
        images: Digest of every record in order: its name, its answer's key, its instances, what failed.
        failed: Images and boxes that failed.
    """

    output: dict[str, Any]
    images: str
    failed: int

    @classmethod
    def read(cls, out: Path) -> Self | None:
        """Returns the manifest of a finished result, or None where there is none that this version reads."""
        try:
            return cls(**json.loads((out / JOURNAL / _FILE).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, out: Path) -> None:
        """Writes it into a result.

        Raises:
            OSError: The file system refuses.
        """
        text = json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"
        write_bytes_atomically(out / JOURNAL / _FILE, text.encode())


def output_of(plan: Plan) -> dict[str, Any]:
    """Returns what was asked of the output, as it is after a way through JSON."""
    settings = plan.settings
    fields = {
        "boxmask": version("boxmask"),
        "target": settings.target,
        "overlaps": asdict(settings.overlaps),
        "void_below": settings.void_below,
        "class_names": plan.dataset.class_names,
        "report": settings.report,
    }
    parsed: dict[str, Any] = json.loads(json.dumps(fields))
    return parsed


class RecordDigest:
    """Digest of records, one after the other."""

    def __init__(self) -> None:
        self._digest = blake2b(digest_size=16)

    def add(self, keyed: Keyed) -> None:
        """Takes in one record."""
        record = keyed.prepared.record
        known: list[object] = [record.key, str(record.path), keyed.key]
        known += [[each.box, each.kind, each.message] for each in keyed.prepared.failures]
        if not isinstance(record, RecordError):
            # Boxes as they are asked about are in the key, but not how the dataset gave them.
            known += [_known(each) for each in record.instances]
        self._digest.update(json.dumps(known).encode() + b"\n")

    def hexdigest(self) -> str:
        """Returns the digest of all that was added."""
        return self._digest.hexdigest()


def _known(instance: Instance) -> list[object]:
    box, flags = instance.box, instance.flags
    noted = [flags.difficult, flags.truncated, flags.occluded, flags.crowd]
    return [instance.id, box.x0, box.y0, box.x1, box.y1, noted]


def digest_of(records: Iterable[Keyed]) -> str:
    """Returns the digest of records that are read for no other reason."""
    digest = RecordDigest()
    for keyed in records:
        digest.add(keyed)
    return digest.hexdigest()
