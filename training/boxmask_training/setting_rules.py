"""How a setting that breaks its rule is refused."""

from __future__ import annotations

from boxmask_core.errors import TrainingError


def require(name: str, value: object, holds: bool, rule: str) -> None:
    """Refuses a setting that breaks its rule.

    Args:
        name: The setting.
        value: Its value.
        holds: Whether it keeps the rule.
        rule: What it is expected to be.

    Raises:
        TrainingError: It does not.
    """
    if not holds:
        raise TrainingError(f"expected {name} to be {rule}, but got {value!r}")
