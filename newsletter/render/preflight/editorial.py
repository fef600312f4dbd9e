"""Whether it is a fair digest: balanced, honest about a quiet day, as short as promised."""

from __future__ import annotations

from statistics import median

from newsletter.render.compiled import WORDS_PER_MINUTE
from newsletter.render.context import BriefView
from newsletter.render.preflight.mail import Check, Mail, list_beside, list_reading, squeeze
from newsletter.render.preflight.report import Verdict, judge
from newsletter.render.words import count_words

LEAST_SPEAKING = 2
MUCH_LONGER = 2.5
"""Times the median of a brief's lenses: longer than that one view takes over."""
_LONG_WORDS = 40
"""Below that no view is long, whatever the others are."""
_EDITION_BRIEFS = 3
"""From so many briefs with perspectives on, a lens that never speaks is a pattern."""
_COUNT_TOLERANCE = 0.05
_BUDGET_TOLERANCE_MINUTES = 1
_LEAST_QUIET_WORDS = 8


def check_balance(mail: Mail) -> Verdict:
    """35: perspectives are there to be compared; one voice, or one loud one, defeats that."""
    briefs = [b for b in mail.context.edition.briefs if b.lenses or b.silent]
    if not briefs:
        return Verdict("skip", "no brief has perspectives")
    few = [repr(b.title[:40]) for b in briefs if len(b.lenses) < LEAST_SPEAKING]
    faults = [f"fewer than {LEAST_SPEAKING} perspectives in {', '.join(few)}"] if few else []
    for brief in briefs:
        faults += [f"{name!r} drowns the others in {brief.title[:40]!r}" for name in _loud(brief)]
    if len(briefs) >= _EDITION_BRIEFS:
        speaking = {lens.name for brief in briefs for lens in brief.lenses}
        offered = {lens.name: None for brief in briefs for lens in brief.silent}
        faults += [
            f"{name!r} has nothing to say in any of {len(briefs)} briefs"
            for name in offered
            if not any(spoken.startswith(name) for spoken in speaking)
        ]
    return judge(
        faults,
        f"{len(briefs)} briefs with at least {LEAST_SPEAKING} voices each",
        "have the drafts of those briefs looked at",
        status="warn",
    )


def check_quiet(mail: Mail) -> Verdict:
    """36: a day without news says so, and a day with news is not called one."""
    edition = mail.context.edition
    if edition.briefs or edition.kind == "correction":
        return Verdict("skip", "not a quiet day")
    faults = []
    if edition.left_out:
        faults.append(f"{edition.left_out} briefs were left out, so it was no quiet day")
    name = squeeze(mail.context.publication.name)
    for kind, text in (("HTML", mail.seen), ("plain text", squeeze(mail.plain))):
        if len(text) - text.count(name) * len(name) < _LEAST_QUIET_WORDS * 5:
            faults.append(f"the {kind} says nothing at all")
    if not mail.tree.xpath("//h2"):
        faults.append("no heading says that nothing is new")
    if mail.selection.counts["word_count"] > sum(map(count_words, list_beside(mail))):
        faults.append("it counts words to read, and there are none")
    return judge(faults, "said in one note", "keep partials/quiet.mjml.j2")


def check_reading_time(mail: Mail) -> Verdict:
    """37: the masthead's promise is counted for this reader, and kept."""
    if not mail.briefs:
        return Verdict("skip", "nothing to read")
    counts, language = mail.selection.counts, mail.selection.language
    told_words, told_minutes = counts["word_count"], counts["minutes"]
    words = sum(map(count_words, (*list_reading(mail), *list_beside(mail))))
    faults = []
    if abs(told_words - words) > max(10, _COUNT_TOLERANCE * words):
        faults.append(f"it promises {told_words:,} words and has {words:,}")
    if told_minutes != max(1, round(told_words / WORDS_PER_MINUTE)):
        faults.append(f"{told_words:,} words are not {told_minutes} min")
    if mail.minutes and told_minutes > mail.minutes + _BUDGET_TOLERANCE_MINUTES:
        faults.append(f"it takes {told_minutes} min, and the reader asked for {mail.minutes}")
    for kind, text in (("HTML", mail.seen), ("plain text", squeeze(mail.plain))):
        if language.write_number(told_words) not in text:
            faults.append(f"the {kind} does not say it")
    return judge(
        faults,
        f"{told_minutes} min, {told_words:,} words",
        "keep the masthead's counts, and lower edition.minutes or max_briefs",
        status="warn",
    )


def _loud(brief: BriefView) -> list[str]:
    """Name the lenses that are much longer than those beside them."""
    lengths = {lens.name: sum(map(count_words, lens.text)) for lens in brief.lenses}
    if len(lengths) < LEAST_SPEAKING:
        return []
    found = []
    for name, length in lengths.items():
        others = median(other for key, other in lengths.items() if key != name)
        if length > max(_LONG_WORDS, MUCH_LONGER * others):
            found.append(name)
    return found


CHECKS: tuple[Check, ...] = (
    (35, "perspectives are balanced", check_balance),
    (36, "quiet day", check_quiet),
    (37, "reading time", check_reading_time),
)
