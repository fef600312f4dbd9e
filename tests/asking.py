"""Requests that schemathesis makes of a description: such as it has, and such as it has not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode, openapi
from schemathesis.core.result import Ok


def list_operations(document: dict[str, Any]) -> list[Any]:
    """List the operations of a description."""
    found = openapi.from_dict(document).get_all_operations()
    return [result.ok() for result in found if isinstance(result, Ok)]


def ask_each(
    operations: Iterable[Any],
    shares: Iterable[tuple[GenerationMode, float]],
    count: Callable[[Any, float], int],
    send: Callable[[Any], None],
) -> None:
    """Make requests of each operation in each mode, and `send` them.

    `count` says how many there are at most, of an operation and the share of a mode.
    """
    for operation in operations:
        for mode, share in shares:

            @settings(
                max_examples=count(operation, share),
                database=None,
                derandomize=True,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
                deadline=None,
            )
            @given(operation.as_strategy(generation_mode=mode))
            def ask(case: Any) -> None:
                send(case)

            try:
                ask()
            except Unsatisfiable:  # nothing of it can be wrong: it has neither names nor fields
                assert mode is GenerationMode.NEGATIVE, operation.label
