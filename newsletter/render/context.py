"""What a template sees: an edition as plain frozen data, cleaned and ready to be laid out.

Everything here is text, a number, or a tuple of such. No method, no object of the program:
a template cannot reach further than what stands in these classes. The head of
`templates/digest.mjml.j2` documents every name for those who write templates.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote, urlsplit, urlunsplit

import regex

from newsletter.briefs.implication import is_no_direct_implication
from newsletter.briefs.model import Brief, Picture, Source
from newsletter.editions.model import (
    Correction,
    Edition,
    Kind,
    Note,
    Outcome,
    Placing,
    Report,
    Sponsor,
    Watched,
)
from newsletter.render.addresses import brief_path, edition_path
from newsletter.render.languages import write_date
from newsletter.render.words import count_words
from newsletter.settings import SHIPPED_LOOK, LogoSettings, Look, Publication, Vocabulary

# Whatever could break out of a line, a document or a reading direction. The formats drop
# these already; renderers must not depend on it.
_UNSAFE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)
_BREAK = re.compile("[ \t\n\x0b\x0c\r\x85\u2028\u2029]+")
_PARAGRAPHS = re.compile(r"\n[ \t]*\n|\u2029")
_RIGHT_TO_LEFT = frozenset(("ar", "ckb", "dv", "fa", "he", "iw", "ps", "sd", "ug", "ur", "yi"))
# A full stop ends a sentence ahead of a blank and of what may begin one; after an initial or
# a title it does not.
_SENTENCE_END = regex.compile(
    r"""(?<!\b(?:\p{L}|Mrs?|Ms|Dr|St|No|vs|Gen|Sen|Rep|Gov|Prof|Inc|Corp|Co|Jr|Sr))
        [.!?…]["'”’)\]]* (?=\s+["'“‘(\[¿¡]*[\p{Lu}\p{Lo}\p{N}] | \s*$)
      | [。！？][」』）]*""",
    regex.VERBOSE,
)
GIST_WORDS = 30
ALSO_NAMED = 3
"""Other outlets that a mail names; their number stands for the rest, and the web page has all."""
_GIST_LEAST_WORDS = 4
_COUNTED_CHARACTERS = 1_500
"""A longer address is left as it is: carried by another one it would be too long for mail."""
_LENS_ENDINGS = (" View", " Lens", " Perspective")


CountedLinks = Mapping[tuple[int, str], str]
"""By number of a brief and address: the address that leads there and is counted."""

COLUMN_PIXELS = 560
"""What a picture may take of the column: Outlook obeys nothing but the number."""
BOX_EDGE_PIXELS = 48
"""What a box of the column takes of that for itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkView:
    """A name, and its address or ""."""

    name: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportView:
    """Another outlet's piece on the same story: who, what it is called, where it stands or ""."""

    name: str
    title: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PointView:
    """One line of the quick take."""

    label: str
    text: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LensView:
    """One lens. `key` names its block."""

    key: str
    name: str
    text: tuple[str, ...]
    caveat: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureView:
    """A picture, `width` by `height` as shown where there is room, in pixels."""

    url: str
    alt: str
    width: int
    height: int
    caption: str
    credit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteView:
    """The editor's note."""

    heading: str
    text: tuple[str, ...]
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SponsorView:
    """A block that somebody paid for."""

    name: str
    text: tuple[str, ...]
    url: str
    picture: PictureView | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectionView:
    """What an earlier edition got wrong. `date` and `date_text` are "" where nobody said when."""

    key: str
    title: str
    text: tuple[str, ...]
    date: str
    date_text: str
    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SinceView:
    """When a story was told before, as what, and what an editor says has changed, or ""."""

    date: str
    date_text: str
    title: str
    url: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedView:
    """What an earlier edition told readers to watch, and what became of it.

    `number` is that of the brief in this edition that goes on with the story, or 0.
    """

    key: str
    text: tuple[str, ...]
    title: str
    date: str
    date_text: str
    url: str
    outcome: Outcome
    news: str
    number: int
    topics: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoView:
    """The publication's logo. `url_dark` is "" where one serves both schemes."""

    url: str
    url_dark: str
    width: int
    height: int
    alt: str
    replaces_name: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LookView:
    """Colours as #rrggbb; font stacks that are CSS as they are: write `|safe` after them."""

    accent: str
    accent_dark: str
    ground: str
    ground_dark: str
    tint: str
    tint_dark: str
    ink: str
    ink_dark: str
    muted: str
    muted_dark: str
    hairline: str
    hairline_dark: str
    serif: str
    sans: str
    logo: LogoView | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BriefView:
    """One story. Texts are tuples of paragraphs; each `..._key` names a block."""

    number: int
    section: str
    topics: tuple[str, ...]
    title: str
    link: str
    page: str
    sources: tuple[LinkView, ...]
    also: tuple[ReportView, ...]
    also_named: tuple[ReportView, ...]
    also_unnamed: int
    is_late: bool
    since: SinceView | None
    summary: tuple[str, ...]
    gist: str
    why: tuple[str, ...]
    points: tuple[PointView, ...]
    watch: PointView | None
    lenses: tuple[LensView, ...]
    silent: tuple[LensView, ...]
    has_analysis: bool
    picture: PictureView | None
    has_more: bool
    contents_key: str
    full_key: str
    standard_key: str
    line_key: str
    perspectives_key: str
    silent_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionView:
    """A heading, or "", and the briefs that belong under it; `key` names the heading's block."""

    key: str
    title: str
    briefs: tuple[BriefView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EditionView:
    """The edition of one date."""

    date: str
    date_text: str
    kind: Kind
    subject: str
    preheader: str
    briefs: tuple[BriefView, ...]
    sections: tuple[SectionView, ...]
    left_out: int
    disclosure: str
    note: NoteView | None
    sponsor: SponsorView | None
    corrections: tuple[CorrectionView, ...]
    watching: tuple[WatchedView, ...]
    has_feedback: bool
    has_muting: bool
    has_counting: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicationView:
    """Who publishes, and how the mail reads."""

    name: str
    url: str
    postal_address: str
    contact: str
    language: str
    direction: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelsView:
    """The publication's own headings."""

    why: str
    quick_take: str
    perspectives: str
    disclaimer: str
    sponsor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Every variable of a digest template."""

    edition: EditionView
    publication: PublicationView
    labels: LabelsView
    look: LookView


def build_context(
    edition: Edition,
    *,
    publication: Publication,
    vocabulary: Vocabulary,
    look: Look = SHIPPED_LOOK,
    column_pixels: int = COLUMN_PIXELS,
    has_feedback: bool = False,
    has_muting: bool = False,
    counted: CountedLinks | None = None,
) -> Context:
    """Turn an edition into what its templates see; pictures are fitted into that column.

    `has_feedback` is whether there is a page to say what one thinks of it, `has_muting` whether
    there is one to leave out a brief's story or topic for a while. `counted` are the addresses
    that stand in place of those of `list_countable`.
    """
    briefs = tuple(
        _brief(brief, n, vocabulary, column_pixels, edition.placing(n), publication)
        for n, brief in enumerate(edition.briefs)
    )
    if counted:
        briefs = tuple(_count(brief, edition, publication, counted) for brief in briefs)
    box_pixels = column_pixels - BOX_EDGE_PIXELS
    return Context(
        edition=EditionView(
            date=edition.date.isoformat(),
            date_text=write_date(edition.date, publication.language),
            kind=edition.kind,
            subject=clean_line(edition.subject),
            preheader=clean_line(edition.preheader),
            briefs=briefs,
            sections=_sections(edition, briefs, vocabulary),
            left_out=edition.left_out,
            disclosure=_disclosure(briefs, vocabulary, has_analysis=bool(edition.watching)),
            note=_note(edition.note) if edition.note else None,
            sponsor=_sponsor(edition.sponsor, box_pixels) if edition.sponsor else None,
            corrections=tuple(
                _correction(correction, n, publication)
                for n, correction in enumerate(edition.corrections)
            ),
            watching=tuple(
                _watched(watched, n, publication) for n, watched in enumerate(edition.watching)
            ),
            has_feedback=has_feedback,
            has_muting=has_muting,
            has_counting=bool(counted),
        ),
        publication=PublicationView(
            name=clean_line(publication.name),
            url=clean_url(publication.url),
            postal_address=clean_line(publication.postal_address),
            contact=clean_line(publication.reply_to or publication.sender_address),
            language=clean_line(publication.language),
            direction=text_direction(publication.language),
        ),
        labels=LabelsView(
            why=vocabulary.why_heading,
            quick_take=vocabulary.quick_take_heading,
            perspectives=vocabulary.perspectives_heading,
            disclaimer=vocabulary.disclaimer,
            sponsor=vocabulary.sponsor_label,
        ),
        look=build_look(look),
    )


def list_countable(edition: Edition, publication: Publication) -> tuple[tuple[int, str], ...]:
    """List what is counted of a mail where that is wanted: number of a brief, and an address.

    These are a brief's own page, its sources and what others reported, and its place on the
    edition's page.
    """
    found: dict[tuple[int, str], None] = {}
    for position, brief in enumerate(edition.briefs):
        also = edition.placing(position).also
        named = (brief.link, *(s.url for s in brief.sources), *(report.url for report in also))
        for address in (*map(clean_url, named), _page(edition, publication, position + 1)):
            if 0 < len(address) <= _COUNTED_CHARACTERS:
                found[position + 1, address] = None
    return tuple(found)


def name_section(brief: Brief, placing: Placing) -> str:
    """Name where a brief belongs: its heading, else the first of its topics, or ""."""
    topics = filter(None, map(clean_line, brief.topics))
    return clean_line(placing.section) or next(topics, "")


def _page(edition: Edition, publication: Publication, number: int) -> str:
    path = edition_path(edition.date, edition.kind)
    return clean_url(f"{publication.url}{path}#brief-{number}")


def _count(
    brief: BriefView, edition: Edition, publication: Publication, counted: CountedLinks
) -> BriefView:
    """Have a brief's links lead through addresses that count them."""

    def lead(address: str) -> str:
        return counted.get((brief.number, address), address)

    return replace(
        brief,
        link=lead(brief.link),
        page=lead(_page(edition, publication, brief.number)),
        sources=tuple(replace(source, url=lead(source.url)) for source in brief.sources),
        also=tuple(replace(report, url=lead(report.url)) for report in brief.also),
        also_named=tuple(replace(report, url=lead(report.url)) for report in brief.also_named),
    )


def clean_line(text: str) -> str:
    """Make `text` one line without controls, lone surrogates and bidirectional overrides."""
    return _BREAK.sub(" ", _UNSAFE.sub("", text)).strip()


def clean_paragraphs(text: str) -> tuple[str, ...]:
    """Split `text` at blank lines into clean lines, none of them empty."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return tuple(filter(None, map(clean_line, _PARAGRAPHS.split(lines))))


def clean_url(url: str) -> str:
    """Give an http(s) address in ASCII (RFC 3986, host by RFC 3490); "" for any other."""
    try:
        parts = urlsplit(clean_line(url))
        host = (parts.hostname or "").encode("idna").decode()
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:  # UnicodeError is one
        return ""
    if parts.scheme not in {"http", "https"} or not host:
        return ""
    if not re.fullmatch(r"[a-z0-9._-]+|[0-9a-f:.]+", host):
        return ""
    netloc = (f"[{host}]" if ":" in host else host) + port
    path, query, fragment = (
        quote(part, safe="%/:@!$&'()*+,;=~-._?")
        for part in (parts.path, parts.query, parts.fragment)
    )
    return urlunsplit((parts.scheme, netloc, path, query, fragment))


def find_gist(paragraph: str) -> str:
    """Give the first sentence, if it is one that fits a line or two; else "".

    Never a part of a sentence: what was cut off may have been the point.
    """
    for end in _SENTENCE_END.finditer(paragraph):
        words = count_words(paragraph[: end.end()])
        if words > GIST_WORDS:
            return ""
        if words >= _GIST_LEAST_WORDS:
            return paragraph[: end.end()].strip()
    return paragraph if count_words(paragraph) <= GIST_WORDS else ""


def shorten_lens(name: str) -> str:
    """Give a lens's name for the list of those that a story does not touch."""
    for ending in _LENS_ENDINGS:
        if name.endswith(ending):
            return name.removesuffix(ending)
    return name


def text_direction(language: str) -> str:
    """Say "rtl" or "ltr" for a BCP 47 language."""
    subtags = language.replace("_", "-").lower().split("-")
    if "latn" in subtags:
        return "ltr"
    return "rtl" if subtags[0] in _RIGHT_TO_LEFT or {"arab", "hebr"} & {*subtags} else "ltr"


def _brief(
    brief: Brief,
    position: int,
    vocabulary: Vocabulary,
    room: int,
    placing: Placing,
    publication: Publication,
) -> BriefView:
    caveats = {_fold(lens.name): lens.caveat for lens in vocabulary.lenses}
    speaking: list[LensView] = []
    silent: list[LensView] = []
    for perspective in brief.perspectives:
        text = clean_paragraphs(perspective.text)
        nothing = is_no_direct_implication(perspective.text)
        if text and (name := clean_line(perspective.lens)):
            view = LensView(
                key=f"{'quiet' if nothing else 'lens'}:{position}:{name}",
                name=shorten_lens(name) if nothing else name,
                text=() if nothing else text,
                caveat="" if nothing else caveats.get(_fold(perspective.lens), ""),
            )
            (silent if nothing else speaking).append(view)
    points = tuple(
        PointView(label=clean_line(point.label), text=text)
        for point in brief.quick_take
        if (text := clean_paragraphs(point.text))
    )
    watch_label = _fold(vocabulary.watch_label)
    watch = next((point for point in points if _fold(point.label) == watch_label), None)
    topics = tuple(filter(None, map(clean_line, brief.topics)))
    summary = clean_paragraphs(brief.summary)
    also = tuple(_report(report) for report in placing.also if clean_line(report.outlet))
    # One outlet is named rather than counted: that takes no more room.
    named = also if len(also) <= ALSO_NAMED + 1 else also[:ALSO_NAMED]
    return BriefView(
        number=position + 1,
        section=name_section(brief, placing),
        topics=topics,
        title=clean_line(brief.title),
        link=clean_url(brief.link),
        page="",
        sources=tuple(_source(s) for s in brief.sources if clean_line(s.name)),
        also=also,
        also_named=named,
        also_unnamed=len(also) - len(named),
        is_late=placing.is_late,
        since=_since(placing, publication),
        summary=summary,
        gist=find_gist(summary[0]) if summary else "",
        why=clean_paragraphs(brief.why_it_matters),
        points=points,
        watch=watch,
        lenses=tuple(speaking),
        silent=tuple(silent),
        has_analysis=brief.has_analysis,
        has_more=bool(len(points) > (watch is not None) or speaking or silent or brief.pinned),
        contents_key=f"contents:{position}",
        full_key=f"full:{position}",
        standard_key=f"standard:{position}",
        line_key=f"line:{position}",
        perspectives_key=f"perspectives:{position}",
        silent_key=f"silent:{position}",
        picture=fit_picture(brief.picture, room),
    )


def _sections(
    edition: Edition, briefs: tuple[BriefView, ...], vocabulary: Vocabulary
) -> tuple[SectionView, ...]:
    """Put the briefs under the edition's headings, and behind those what belongs to none.

    An edition without headings is one section without a title.
    """
    known = edition.sections
    under = [edition.placing(position).section for position in range(len(briefs))]
    groups = [
        (heading, tuple(b for b, own in zip(briefs, under, strict=True) if own == heading))
        for heading in known
    ]
    others = tuple(b for b, own in zip(briefs, under, strict=True) if own not in known)
    groups.append((vocabulary.other_heading if known else "", others))
    return tuple(
        SectionView(key=f"section:topic:{number}", title=clean_line(title), briefs=mine)
        for number, (title, mine) in enumerate(groups)
        if mine
    )


def fit_picture(picture: Picture | None, room: int) -> PictureView | None:
    """Fit a picture into the room there is; the shape stays, and a small one is not blown up."""
    if picture is None or not (url := clean_url(picture.url)):
        return None
    width = min(picture.width, room)
    return PictureView(
        url=url,
        alt=clean_line(picture.alt),
        width=width,
        height=max(1, round(picture.height * width / picture.width)),
        caption=clean_line(picture.caption),
        credit=clean_line(picture.credit),
    )


def _note(note: Note) -> NoteView:
    return NoteView(
        heading=clean_line(note.heading),
        text=clean_paragraphs(note.text),
        by=clean_line(note.by),
    )


def _sponsor(sponsor: Sponsor, room: int) -> SponsorView:
    return SponsorView(
        name=clean_line(sponsor.name),
        text=clean_paragraphs(sponsor.text),
        url=clean_url(sponsor.url),
        picture=fit_picture(sponsor.picture, room),
    )


def _correction(correction: Correction, position: int, publication: Publication) -> CorrectionView:
    day, link = correction.day, correction.link
    if day and correction.number and not link:
        link = publication.url + brief_path(day, correction.number, correction.kind)
    return CorrectionView(
        key=f"correction:{position}",
        title=clean_line(correction.title),
        text=clean_paragraphs(correction.text),
        date=day.isoformat() if day else "",
        date_text=write_date(day, publication.language) if day else "",
        link=clean_url(link),
    )


def _since(placing: Placing, publication: Publication) -> SinceView | None:
    """Say how a story was told before, by another brief."""
    day = placing.had_on
    if day is None or not placing.had_number:
        return None
    return SinceView(
        date=day.isoformat(),
        date_text=write_date(day, publication.language),
        title=clean_line(placing.had_title),
        url=clean_url(publication.url + brief_path(day, placing.had_number, placing.had_kind)),
        text=clean_line(placing.moved),
    )


def _watched(watched: Watched, position: int, publication: Publication) -> WatchedView:
    path = brief_path(watched.day, watched.said_number, watched.kind)
    return WatchedView(
        key=f"watching:{position}",
        text=clean_paragraphs(watched.text),
        title=clean_line(watched.title),
        date=watched.day.isoformat(),
        date_text=write_date(watched.day, publication.language),
        url=clean_url(publication.url + path),
        outcome=watched.outcome,
        news=clean_line(watched.news),
        number=watched.number,
        topics=tuple(filter(None, map(clean_line, watched.topics))),
    )


def build_look(look: Look) -> LookView:
    """Give what a template sees of colours, fonts and logo."""
    told = {name: getattr(look, name) for name in type(look).model_fields if name != "logo"}
    return LookView(**told, logo=_logo(look.logo) if look.logo else None)


def _logo(logo: LogoSettings) -> LogoView:
    return LogoView(
        url=clean_url(logo.url),
        url_dark=clean_url(logo.url_dark or ""),
        width=logo.width,
        height=logo.height,
        alt=clean_line(logo.alt),
        replaces_name=logo.replaces_name,
    )


def _source(source: Source) -> LinkView:
    return LinkView(name=clean_line(source.name), url=clean_url(source.url))


def _report(report: Report) -> ReportView:
    return ReportView(
        name=clean_line(report.outlet),
        title=clean_line(report.title),
        url=clean_url(report.url),
    )


def _fold(name: str) -> str:
    return clean_line(unicodedata.normalize("NFKC", name)).casefold()


def _disclosure(
    briefs: tuple[BriefView, ...], vocabulary: Vocabulary, *, has_analysis: bool
) -> str:
    """Write the publication's disclosure if anything is analysis, all sources named."""
    if not has_analysis and not any(brief.has_analysis for brief in briefs):
        return ""
    names = list(dict.fromkeys(source.name for brief in briefs for source in brief.sources))
    listed = ", ".join(names[:-1]) + " and " + names[-1] if names[1:] else "".join(names)
    return vocabulary.disclosure.replace("{sources}", listed or "the original sources")
