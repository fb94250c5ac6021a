"""What is wrong with a dataset: by name, counted, with the first examples."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES: Final = 5
"""Examples that are kept of each problem."""


class Severity(enum.StrEnum):
    """What a problem means for who goes on with the dataset."""

    ERROR = "error"
    """An image, a box or a mask cannot be used, or is wrong."""
    WARNING = "warning"
    """All of it can be used; somebody should look."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of problem.

    Attributes:
        name: In lower case with underscores; stable, for programs.
        severity: What it means.
        meaning: What it is, in a few words without a full stop.
    """

    name: str
    severity: Severity
    meaning: str


@dataclass(slots=True)
class Found:
    """How often a rule is broken.

    Attributes:
        rule: The rule.
        count: How often.
        examples: The first of them: what it is, and what is wrong with it.
    """

    rule: Rule
    count: int = 0
    examples: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Returns the fields of the machine-readable form."""
        return {
            "name": self.rule.name,
            "severity": str(self.rule.severity),
            "meaning": self.rule.meaning,
            "count": self.count,
            "examples": self.examples,
        }


class Findings:
    """Problems as they are found; memory does not grow with their number."""

    def __init__(self) -> None:
        self._found: dict[str, Found] = {}

    def add(self, rule: Rule, where: str, detail: str = "", *, times: int = 1) -> None:
        """Counts a problem.

        Args:
            rule: The rule that is broken.
            where: What breaks it: a key, a file, an annotation.
            detail: The value, in a few words; may be empty.
            times: How often at once.
        """
        found = self._found.setdefault(rule.name, Found(rule))
        found.count += times
        if len(found.examples) < EXAMPLES:
            found.examples.append(f"{where}: {detail}" if detail else where)

    def merge(self, other: Findings) -> None:
        """Adds what another has found."""
        for found in other:
            own = self._found.setdefault(found.rule.name, Found(found.rule))
            own.count += found.count
            own.examples += found.examples[: EXAMPLES - len(own.examples)]

    def __iter__(self) -> Iterator[Found]:
        """Yields errors first, then warnings, each the most frequent first."""
        return iter(
            sorted(
                self._found.values(), key=lambda found: (found.rule.severity, -found.count, found.rule.name)
            )
        )

    @property
    def errors(self) -> int:
        """How many errors there are."""
        return sum(found.count for found in self._found.values() if found.rule.severity is Severity.ERROR)

    def count(self, rule: Rule) -> int:
        """Returns how often a rule is broken."""
        return self._found[rule.name].count if rule.name in self._found else 0

    def to_json(self) -> list[dict[str, Any]]:
        """Returns the machine-readable form, in the order of iteration."""
        return [found.to_json() for found in self]

    def describe(self) -> str:
        """Returns the problems in lines for people; empty where there are none."""
        lines = []
        for found in self:
            lines.append(f"{found.rule.severity:<8}{found.rule.name}: {found.count} ({found.rule.meaning})")
            lines += [f"          {example}" for example in found.examples]
            if found.count > len(found.examples):
                lines.append(f"          and {found.count - len(found.examples)} more")
        return "".join(f"{line}\n" for line in lines)
