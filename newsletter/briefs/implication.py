"""Whether a lens says that nothing applies: an outcome of the analysis, not a text like others."""

from __future__ import annotations

import re

_ALONE = {"none", "n/a", "not applicable", "no direct implication", "no direct implications"}
_SUBJECT = (
    r"(?:angle|bearing|concern|connection|dimension|effect|frame|framing|impact|implication|"
    r"interest|issue|lens|perspective|principle|question|relevance|view)s?"
)
_NOTHING = re.compile(
    rf"""
    (?:at\ this\ (?:stage|time|point),?\ )?
    (?:
        # "No clear adversary framing applies to this story"
        no\ (?:[\w'’-]+\ ){{0,5}}{_SUBJECT}\ (?:of\ \w+\ )?
        (?:(?:directly\ |clearly\ )?appl(?:ies|y)
          |(?:is|are)\ (?:\w+ly\ )?(?:identified|implicated|apparent|evident|involved|at\ stake))
      |
        # "There is no direct household impact"
        there\ (?:is|are)\ no\ (?:[\w'’-]+\ ){{0,5}}{_SUBJECT}
      |
        # "This story carries no national security implications"
        (?:this|the)\ (?:story|brief|case|matter|news)\ (?:has|carries|raises)
        \ no\ (?:[\w'’-]+\ ){{0,5}}{_SUBJECT}
    )
    # a tail that only says where: any turn of thought makes it a text like others
    (?:\ (?:to|in|from|by|for|at|here|within|with|on)\b[^.;:!?]{{0,200}})?
    """,
    re.VERBOSE,
)
_TURN = re.compile(
    r"\b(?:although|because|but|except|if|however|once|since|so|still|though|unless|until|when"
    r"|whereas|which|while|yet)\b"
)


def is_no_direct_implication(text: str) -> bool:
    """Whether a lens's text says nothing but that nothing applies.

    Conservative: more than one short sentence, or any "but", "until" or "which" in it, makes
    it a text that a reader should see as it stands.
    """
    if len(text) > 300:
        return False
    said = " ".join(text.casefold().split()).rstrip(".")
    if said in _ALONE:
        return True
    return bool(_NOTHING.fullmatch(said)) and not _TURN.search(said)
