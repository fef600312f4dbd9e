"""Whether HTML, plain text and web page say the same, with all sources and caveats."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from newsletter.render.columns import COLUMNS, count_columns
from newsletter.render.compiled import Begin, End, Part
from newsletter.render.context import LensView
from newsletter.render.facts import find_facts_on_page
from newsletter.render.facts import list_facts as list_edition_facts
from newsletter.render.preflight.mail import (
    Check,
    Mail,
    list_facts,
    parse_html,
    read_seen,
    squeeze,
)
from newsletter.render.preflight.report import Verdict, judge
from newsletter.render.preview import decode_part

_ADDRESS = re.compile(r"(?:https?://|mailto:)\S+")
_MARKUP = re.compile(
    r"</?(?:p|div|span|td|tr|table|a|b|br|em|strong|h[1-6])\b[^<>]*>|&(?:#\d+|\w+);"
)
_EDGES = ".,;:)>]"
_ADVERSARY = "adversary"


def check_plain(mail: Mail) -> Verdict:
    """25: the plain text is a mail of its own, for those who choose it and for watches."""
    text = squeeze(mail.plain)
    facts = list(list_facts(mail))
    faults = [f"{fact[:40]!r} is missing" for fact in _list_missing(facts, text)]
    links = {str(href) for href in mail.tree.xpath("//a/@href")}
    here = f"{mail.values['web_url']}#"  # the contents list; in text the briefs follow directly
    written = _list_addresses(mail.plain)
    faults += [
        f"the link {link[:60]} is missing"
        for link in sorted(links)
        if link not in written
        and not link.startswith(here)
        and not (link.startswith("mailto:") and link.removeprefix("mailto:") in mail.plain)
    ]
    faults += [
        f"a line of {count_columns(line)} columns"
        for line in mail.plain.split("\n")
        if count_columns(_ADDRESS.sub("", line)) > COLUMNS
    ]
    said = squeeze(" ".join((*facts, mail.context.edition.disclosure)))
    markup = [m[0] for m in _MARKUP.finditer(mail.plain) if squeeze(m[0]) not in said]
    faults += [f"{left!r} is markup" for left in markup]
    return judge(faults, f"at most {COLUMNS} columns", "mend digest.txt.j2")


def check_same(mail: Mail) -> Verdict:
    """26: what one format says the others say, in the same order."""
    facts = list(list_facts(mail))
    faults = [f"{fact[:40]!r} is missing" for fact in _list_missing(facts, mail.seen)]
    links = {str(href) for href in mail.tree.xpath("//a/@href")}
    faults += [
        f"the link {link[:60]} stands in the text alone"
        for link in sorted(_list_addresses(mail.plain) - links)
        if not any(link in fact for fact in facts)
    ]
    html_order, plain_order = _order(mail, mail.seen), _order(mail, squeeze(mail.plain))
    if not faults and html_order != plain_order:
        faults.append("the briefs stand in another order in the text")
    if mail.web is not None:
        faults += _list_web_faults(mail, mail.web)
    formats = "HTML, text and web page" if mail.web is not None else "HTML and text"
    return judge(faults, f"every fact and caveat in {formats}", "mend digest.mjml.j2")


def check_attribution(mail: Mail) -> Verdict:
    """31: who reported it is named."""
    faults = [f"{brief.title[:40]!r} names no source" for brief in mail.briefs if not brief.sources]
    return judge(faults, "every brief", "add the source to the brief", status="warn")


def check_disclosure(mail: Mail) -> Verdict:
    """32: whoever reads analysis by a machine is told so, and where the facts come from."""
    analysed = [brief for brief in mail.context.edition.briefs if brief.has_analysis]
    disclosure = mail.context.edition.disclosure
    mend = "fill vocabulary.disclosure, and show {{ edition.disclosure }} in both templates"
    if not analysed:
        return Verdict("skip", "no brief carries analysis")
    if not disclosure.strip():
        return Verdict("fail", "there is none, and the briefs carry analysis", mend)
    formats = (("HTML", mail.seen), ("plain text", squeeze(mail.plain)))
    faults = [f"missing in the {name}" for name, text in formats if squeeze(disclosure) not in text]
    names = dict.fromkeys(source.name for brief in analysed for source in brief.sources)
    faults += [f"it does not name {name}" for name in names if name not in disclosure]
    return judge(faults, "in both formats, all sources", mend)


def check_caveats(mail: Mail) -> Verdict:
    """33: a view that is not ours never stands without saying so, whatever a reader selects."""
    lenses = [lens for brief in mail.context.edition.briefs for lens in brief.lenses]
    owed = [lens for lens in lenses if lens.caveat]
    bare = [lens for lens in lenses if _ADVERSARY in lens.name.casefold() and not lens.caveat]
    if not owed and not bare:
        return Verdict("skip", "no lens with a caveat is shown")
    faults = [f"{lens.name!r} has no caveat in vocabulary.lenses" for lens in bare[:1]]
    for part in (mail.compiled.html, mail.compiled.plain):
        faults += [
            f"{lens.key} in the {part.kind} part has lost its caveat"
            for lens in owed
            if not _is_kept(mail, part, lens)
        ]
    return judge(faults, f"{len(owed)} lenses", "show {{ lens.caveat }} in the lens's block")


def _list_missing(facts: Sequence[str], text: str) -> list[str]:
    """List the facts that a text does not say as often as there are briefs that say them."""
    owed = Counter(filter(None, map(squeeze, facts)))
    short = {fact for fact, count in owed.items() if text.count(fact) < count}
    return [fact for fact in dict.fromkeys(facts) if squeeze(fact) in short]


def _list_addresses(plain: str) -> set[str]:
    """List the addresses in a plain text, each as it stands and without what ends a sentence."""
    found = _ADDRESS.findall(plain)
    return {*found, *(address.rstrip(_EDGES) for address in found)}


def _order(mail: Mail, text: str) -> list[str]:
    """Give the briefs in the order of where their last mention begins."""
    titles = [squeeze(brief.title) for brief in mail.briefs]
    return sorted(titles, key=text.rfind)


def _list_web_faults(mail: Mail, page: str) -> Iterator[str]:
    """Find what the page does not say; it says all of an edition, whatever this copy selects."""
    facts = list_edition_facts(mail.context, mail.selection.language)
    for fact in sorted(facts - find_facts_on_page(facts, page)):
        yield f"{fact.text[:40]!r} is missing in the web page"
    tree = parse_html(page)
    links = {str(href) for href in tree.xpath("//a/@href")}
    edition = mail.context.edition
    owed = [
        url
        for brief in edition.briefs
        for url in (
            brief.link,
            *(source.url for source in brief.sources),
            *(report.url for report in brief.also),
        )
    ]
    owed += [correction.link for correction in edition.corrections]
    owed += [edition.sponsor.url] if edition.sponsor else []
    for url in dict.fromkeys(owed):
        if url and url not in links:
            yield f"the link {url[:60]} is missing in the web page"
    for name in ("unsubscribe_url", "preferences_url", "feedback_url"):
        if mail.values[name] in links:
            yield f"a reader's own {name} stands in the web page"


def _is_kept(mail: Mail, part: Part, lens: LensView) -> bool:
    """Tell whether each block of a lens has its caveat, where it is seen."""
    blocks = [_read_block(mail, block) for block in _list_blocks(part, lens.key)]
    caveat = squeeze(mail.say(lens.caveat))
    return bool(blocks) and all(caveat in squeeze(block) for block in blocks)


def _list_blocks(part: Part, key: str) -> Iterator[Part]:
    """Yield what stands in each block of that key."""
    for start, piece in enumerate(part.pieces):
        if piece == Begin(key):
            end = part.pieces.index(End(key), start)
            yield Part(kind=part.kind, pieces=part.pieces[start + 1 : end])


def _read_block(mail: Mail, block: Part) -> str:
    text = decode_part(block, mail.values, mail.selection)
    return read_seen(parse_html(f"<div>{text}</div>")) if block.kind == "html" else text


CHECKS: tuple[Check, ...] = (
    (25, "plain text says the same", check_plain),
    (26, "every format says it all", check_same),
    (31, "sources are named", check_attribution),
    (32, "disclosure", check_disclosure),
    (33, "caveats stand with their lenses", check_caveats),
)
