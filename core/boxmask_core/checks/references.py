"""Ids, by which the entries of an annotation file refer to one another."""

from __future__ import annotations

from typing import Any, TypeGuard

Id = int | str


def is_id(value: object) -> TypeGuard[Id]:
    """Says whether a value can be an id: a whole number or a text."""
    return isinstance(value, int | str) and not isinstance(value, bool)


def identity_of(entry: Any) -> Id | None:
    """Returns the id of an entry, or None where it has none that could be referred to."""
    identity = entry.get("id") if isinstance(entry, dict) else None
    return identity if is_id(identity) else None
