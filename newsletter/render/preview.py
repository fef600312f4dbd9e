"""A compiled part as a person or a test reads it: decoded, the reader's values filled in."""

from __future__ import annotations

import html
import quopri
from collections.abc import Mapping

from newsletter.render.compiled import Part, build_tree
from newsletter.render.filling import fill_shared
from newsletter.render.selection import Selection
from newsletter.render.wire import encode_value


def decode_part(part: Part, values: Mapping[str, str], selection: Selection) -> str:
    """Give the HTML or text of `part` for one reader, from the very bytes that are mailed."""
    escaped = part.kind == "html"
    wire = bytearray()
    for piece in fill_shared(build_tree(part.pieces), selection, values, escaped=escaped):
        if isinstance(piece, bytes):
            wire += piece
        else:
            value = values.get(piece.name) or piece.default
            wire += encode_value(html.escape(value) if escaped else value)
    return quopri.decodestring(wire).decode().replace("\r\n", "\n")
