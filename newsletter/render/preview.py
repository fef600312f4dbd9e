"""A compiled part as a person or a test reads it: decoded, the reader's values filled in."""

from __future__ import annotations

import html
import quopri
from collections.abc import Callable, Mapping

from newsletter.render.compiled import Part, Slot
from newsletter.render.wire import encode_value


def decode_part(
    part: Part,
    values: Mapping[str, str],
    wanted: Callable[[str], bool] = lambda key: True,
) -> str:
    """Give the HTML or text of `part` for one reader, from the very bytes that are mailed.

    `wanted` chooses blocks by their key; without it the reader gets everything.
    """
    wire = b"".join(
        piece if isinstance(piece, bytes) else encode_value(fill_slot(piece, values, part.kind))
        for piece in part.select(wanted)
    )
    return quopri.decodestring(wire).decode().replace("\r\n", "\n")


def fill_slot(slot: Slot, values: Mapping[str, str], kind: str) -> str:
    """Give the slot's value, or its default for an empty one, escaped for HTML."""
    value = values.get(slot.name) or slot.default
    return html.escape(value) if kind == "html" else value
