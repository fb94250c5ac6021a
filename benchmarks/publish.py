"""What every benchmark prints: a Markdown table, then one line of JSON."""

from __future__ import annotations

import json
import os
import platform
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Value = str | int | float


def publish(name: str, rows: Sequence[Mapping[str, Value]], ratios: Mapping[str, float]) -> None:
    """Prints a benchmark's result.

    Args:
        name: The benchmark.
        rows: Rows of the table; all have the same columns.
        ratios: What is compared over time: a dimensionless number by name.
    """
    sys.stdout.write(table(rows))
    result = {"benchmark": name, "machine": machine(), "rows": list(rows), "ratios": dict(ratios)}
    sys.stdout.write(f"\n{json.dumps(result)}\n")


def table(rows: Sequence[Mapping[str, Value]]) -> str:
    """Returns rows, which all have the same columns, as a Markdown table."""
    columns = list(rows[0])
    lines = [" | ".join(columns), " | ".join("---" for _ in columns)]
    lines += [" | ".join(_shown(row[column]) for column in columns) for row in rows]
    return "".join(f"| {line} |\n" for line in lines)


def machine() -> str:
    """Returns the processor's name, and the number of cores that this process may use."""
    name = platform.machine()
    if os.path.exists("/proc/cpuinfo"):  # noqa: PTH110 - a question about the kernel, not about a file of ours
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123 - likewise
            names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        name = names[0] if names else name
    return f"{name}, {len(os.sched_getaffinity(0))} cores"


def _shown(value: Value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
