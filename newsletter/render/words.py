"""How many words a text is to its reader."""

from __future__ import annotations

import regex

# Scripts written without spaces. Two of their characters read about as fast as one word.
_UNSPACED = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}ー\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]\p{M}*"
)
_WORD = regex.compile(r"[\p{L}\p{N}][\p{L}\p{N}\p{M}'’.,:/&@%-]*")
_CHARACTERS_PER_WORD = 2


def count_words(text: str) -> int:
    """Count words; in scripts without spaces two characters count as one word."""
    characters = len(_UNSPACED.findall(text))
    words = len(_WORD.findall(_UNSPACED.sub(" ", text)))
    return words + -(-characters // _CHARACTERS_PER_WORD)
