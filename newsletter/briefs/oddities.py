"""The closed vocabulary of what may be odd about a document without stopping its import."""

from __future__ import annotations

from enum import StrEnum


class Oddity(StrEnum):
    """The `code` of every `BriefWarning`. Stored and shown to operators: never rename one."""

    NOT_UTF8 = "not_utf8"
    """The bytes were read as Windows-1252, or stopped in the middle of a character."""
    MOJIBAKE = "mojibake"
    """UTF-8 was once read as Windows-1252 ("â€™" for an apostrophe); the text is untouched."""
    CONTROL_CHARACTERS = "control_characters"
    """Control characters, or accents stacked beyond reason, were dropped."""
    BIDI_CONTROLS = "bidi_controls"
    """Characters that reverse the direction of text were dropped."""
    NO_BRAND = "no_brand"
    NO_PERSPECTIVES = "no_perspectives"
    NO_FOOTER = "no_footer"
    """The document does not carry the disclosure; an edition shows it all the same."""
    UNKNOWN_POINT = "unknown_point"
    UNKNOWN_LENS = "unknown_lens"
    DUPLICATE_LABEL = "duplicate_label"
    """A label stands twice with different texts; both are kept, in order."""
    POINT_WITHOUT_TEXT = "point_without_text"
    LENS_WITHOUT_TEXT = "lens_without_text"
    TEXT_WITHOUT_LABEL = "text_without_label"
    """Text ahead of the first quick-take label, kept as a point named like the heading."""
    TEXT_LEFT_OUT = "text_left_out"
    """A line that has no place in a brief, and is in none."""
    UNKNOWN_KEY = "unknown_key"
    """A key of the front matter that says nothing about a brief."""
