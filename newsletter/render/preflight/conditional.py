"""Conditional comments: Outlook on Windows reads them, to everybody else they are comments.

    <!--[if mso]> … <![endif]-->          shown by Word alone
    <!--[if !mso]><!--> … <!--<![endif]-->  shown by everybody but Word

The two forms do not nest, and one that is left open swallows the rest of the mail.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

WORD = 16
"""The version that Outlook 2016 and all later ones on Windows answer to."""

_MARK = re.compile(
    r"(?P<reveal><!--\[if\s(?P<but>[^\]]*)\]>\s*<!--(?:\s*--)?>)"
    r"|(?P<hide><!--\[if\s(?P<when>[^\]]*)\]>)"
    r"|(?P<unreveal><!--\s*<!\[endif\]-->)"
    r"|(?P<unhide><!\[endif\]-->)"
    r"|(?P<bare><!\[(?:if|endif)[^\]>]*\]>)"
)
_ATOM = re.compile(
    r"\s*(?P<not>!)?\s*\(?\s*(?:(?P<how>lte|lt|gte|gt)\s+)?"
    r"(?P<what>mso|IE)(?:\s+(?P<version>\d+))?\s*\)?\s*",
    re.IGNORECASE,
)
_TAG = re.compile(r"<(?P<close>/?)(?P<tag>table|tbody|thead|tfoot|tr|td|th)\b[^>]*>", re.IGNORECASE)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_PARENTS = {
    "tr": {"table", "tbody", "thead", "tfoot"},
    "td": {"tr"},
    "th": {"tr"},
    "tbody": {"table"},
    "thead": {"table"},
    "tfoot": {"table"},
}


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of HTML, and whether Word and the others show it."""

    text: str
    to_word: bool
    to_others: bool


def split_passages(source: str) -> tuple[list[Passage], list[str]]:
    """Split at conditional comments; the second list says what is wrong with them."""
    passages: list[Passage] = []
    faults: list[str] = []
    opened: re.Match[str] | None = None
    end = 0
    for mark in _MARK.finditer(source):
        condition = opened and (opened["when"] or opened["but"] or "")
        passages.append(_passage(source[end : mark.start()], opened, condition))
        end = mark.end()
        line = source.count("\n", 0, mark.start()) + 1
        if mark["bare"]:
            faults.append(f"{mark[0]} stands in no comment (line {line})")
        elif mark["hide"] or mark["reveal"]:
            if opened:
                faults.append(f"{mark[0]} stands within {opened[0]} (line {line})")
            if evaluate(mark["when"] or mark["but"] or "") is None:
                faults.append(f"{mark[0]} has a condition that Outlook does not know")
            opened = mark
        else:
            closes = "reveal" if mark["unreveal"] else "hide"
            if not opened or not opened[closes]:
                faults.append(f"{mark[0]} closes nothing (line {line})")
            elif opened["hide"] and "-->" in passages[-1].text:
                faults.append(f"--> ends the comment of {opened[0]} too early (line {line})")
            opened = None
    if opened:
        faults.append(f"{opened[0]} is never closed")
    passages.append(_passage(source[end:], None, None))
    return passages, faults


def evaluate(condition: str) -> bool | None:
    """Tell whether Word shows what stands under a condition; None for one that is none."""
    found: list[list[bool]] = []
    for either in condition.split("|"):
        atoms = [_ATOM.fullmatch(atom) for atom in either.split("&")]
        if not all(atoms):
            return None
        found.append([_holds(atom) for atom in atoms if atom])
    return any(map(all, found))


def show_to_outlook(source: str) -> str:
    """Give the document that Word lays out; "" if the conditions are broken."""
    passages, faults = split_passages(source)
    if faults:
        return ""
    return "".join(passage.text for passage in passages if passage.to_word)


def list_table_faults(source: str) -> Iterator[str]:
    """Say where tables, rows and cells do not nest; comments count as nothing."""
    stack: list[str] = []
    for tag in _TAG.finditer(_COMMENT.sub("", source)):
        name = tag["tag"].lower()
        if tag["close"]:
            if not stack or stack.pop() != name:
                yield f"</{name}> closes nothing"
                return
            continue
        parents = _PARENTS.get(name)
        if parents and (not stack or stack[-1] not in parents):
            yield f"<{name}> stands in {f'<{stack[-1]}>' if stack else 'no table'}"
            return
        stack.append(name)
    if stack:
        yield f"<{stack[-1]}> is never closed"


def _passage(text: str, opened: re.Match[str] | None, condition: str | None) -> Passage:
    if opened is None:
        return Passage(text, to_word=True, to_others=True)
    holds = bool(evaluate(condition or ""))
    return Passage(text, to_word=holds, to_others=bool(opened["reveal"]))


def _holds(atom: re.Match[str]) -> bool:
    # "IE" is Internet Explorer's name for itself; Word is not that.
    is_so = atom["what"].lower() == "mso"
    if is_so and atom["version"]:
        version = int(atom["version"])
        is_so = {
            None: version == WORD,
            "lt": version > WORD,
            "lte": version >= WORD,
            "gt": version < WORD,
            "gte": version <= WORD,
        }[atom["how"] and atom["how"].lower()]
    return not is_so if atom["not"] else is_so
