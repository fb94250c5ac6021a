"""Everything that is fuzzed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.fuzz import datasets, decoding, journals, masks, questions, tensors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.fuzz.target import Target

TARGETS: Mapping[str, Target[Any]] = {
    target.name: target
    for target in (
        *decoding.TARGETS,
        *masks.TARGETS,
        *questions.TARGETS,
        *tensors.TARGETS,
        *datasets.TARGETS,
        *journals.TARGETS,
    )
}
"""By their names."""
