"""Snares: where a sending process is to kill itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Snare:
    """A place in the code."""

    def set(self) -> None:
        """Lay it."""
