"""What a reader sees of the mail in a list of messages: the subject, and the line beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import regex

from newsletter.editions.headlines import (
    PREHEADER_LEAST_CHARACTERS,
    PREHEADER_MOST_CHARACTERS,
    SUBJECT_GRAPHEMES,
    count_graphemes,
)
from newsletter.render.context import BriefView
from newsletter.render.preflight.mail import Check, Mail
from newsletter.render.preflight.report import Verdict, judge, worst

_SHARED_WORDS = 5
"""So many words in a row are a quotation and no coincidence."""
_TELLING_CHARACTERS = 12
"""So much of a headline is enough to know it again."""
_WORD = regex.compile(r"[\p{L}\p{N}]+(?:['’-][\p{L}\p{N}]+)*")
_SHOUT_LETTERS = 12  # below that it may be a name: NATO, UN, USA


def check_preheader(mail: Mail) -> Verdict:
    """24: the first words of the body stand beside the subject, whatever they are."""
    text = mail.compiled.preheader
    body = mail.tree.find("body")
    first = next(iter(mail.tree.xpath("/html/body/*")), None)
    style = (first.get("style") or "").replace(" ", "") if first is not None else ""
    if (
        first is None
        or (body is not None and (body.text or "").strip())
        or "display:none" not in style
        or not first.text_content().startswith(text)
    ):
        return Verdict("fail", "it is not the first thing in the body", "keep <mj-preview>")
    shortest, longest = PREHEADER_LEAST_CHARACTERS, PREHEADER_MOST_CHARACTERS
    faults = []
    if not shortest <= len(text) <= longest:
        faults.append(f"it has {len(text)} characters, not {shortest} to {longest}")
    subject = mail.compiled.subject
    if text and (_is_told(text, subject) or _is_told(subject, text)):
        faults.append("it repeats the subject")
    faults += [
        f"it tells {brief.title[:40]!r} again, like the subject"
        for brief in mail.context.edition.briefs
        if _is_told(brief.title, subject) and _is_told(brief.title, text)
    ]
    return worst(
        judge(faults, text, "more briefs make a better one", status="warn"),
        _judge_origin(mail, text),
    )


def check_subject(mail: Mail) -> Verdict:
    """34: it tells the news, whole, and neither opinion nor noise."""
    subject = mail.compiled.subject
    if not subject.strip():
        return Verdict("fail", "there is none", "give the first brief a title")
    faults = []
    if (length := count_graphemes(subject)) > SUBJECT_GRAPHEMES:
        faults.append(f"it has {length} characters, and phones show {SUBJECT_GRAPHEMES}")
    if _is_shouting(subject):
        faults.append("it shouts")
    return worst(
        judge(faults, subject, "shorten or calm the first headline", status="warn"),
        _judge_origin(mail, subject),
    )


def _judge_origin(mail: Mail, text: str) -> Verdict:
    """Fail where a text quotes analysis, which must not stand without its label."""
    faults = [
        f"{' '.join(run)!r} is said by {where} alone"
        for brief in mail.context.edition.briefs
        for where, run in _list_quotations(brief, text)
    ]
    return judge(faults[:1], text, "write it from headlines and summaries")


def _list_quotations(brief: BriefView, text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """List the runs of words that a text shares with a brief's analysis, and not its facts."""
    factual = _runs(" ".join((brief.title, *brief.summary)))
    analyses = (
        *((lens.name, " ".join(lens.text)) for lens in brief.lenses),
        *((point.label, " ".join(point.text)) for point in brief.points),
    )
    runs = _runs(text)
    for where, analysis in analyses:
        yield from ((where, run) for run in sorted(runs & _runs(analysis) - factual))


def _runs(text: str) -> set[tuple[str, ...]]:
    words = [word.casefold() for word in _WORD.findall(text)]
    return {tuple(words[i : i + _SHARED_WORDS]) for i in range(len(words) - _SHARED_WORDS + 1)}


def _is_told(title: str, text: str) -> bool:
    """Tell whether a text has a headline in it, though it may have been cut."""
    title, text = title.casefold(), text.casefold()
    pieces = [piece.strip(" …") for piece in re.split(r";\s|\s–\s", text)]
    return any(
        piece == title or (len(piece) >= _TELLING_CHARACTERS and title.startswith(piece))
        for piece in pieces
    ) or (len(title) >= _TELLING_CHARACTERS and title in text)


def _is_shouting(text: str) -> bool:
    letters = [c for c in text if c.isalpha() and c.lower() != c.upper()]
    capitals = sum(c.isupper() for c in letters)
    loud = len(letters) >= _SHOUT_LETTERS and capitals > 0.6 * len(letters)
    return loud or bool(re.search(r"[!?]{2}|!.*!", text))


CHECKS: tuple[Check, ...] = (
    (24, "preheader", check_preheader),
    (34, "subject", check_subject),
)
