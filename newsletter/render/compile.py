"""An edition and its templates → `CompiledEdition`: one MJML run, one premailer run.

Each brief is laid out in each of its forms; which of them a reader gets, and how many briefs
fit, is the selection's to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

from newsletter.editions.headlines import (
    format_plain_preheader,
    format_preheader,
    format_subject,
)
from newsletter.editions.model import Edition, name_edition
from newsletter.errors import TemplateError
from newsletter.render.compiled import (
    HEADLINE_SLOTS,
    CompiledEdition,
    Headline,
    Part,
    Slot,
    Story,
)
from newsletter.render.context import (
    Context,
    CountedLinks,
    PointView,
    SinceView,
    build_context,
    clean_line,
)
from newsletter.render.inline import inline_styles
from newsletter.render.languages import read_catalogues, write_date
from newsletter.render.markers import Cut, Markers, derive_prefix, encode_cuts
from newsletter.render.markup import build_html
from newsletter.render.selection import MAX_HTML_BYTES, Selector
from newsletter.render.templates import TemplateSet
from newsletter.render.words import count_words
from newsletter.settings import (
    SHIPPED_LOOK,
    EditionSettings,
    Look,
    Publication,
    Vocabulary,
    is_daily,
)

HTML_TEMPLATE = "digest.mjml.j2"
PLAIN_TEMPLATE = "digest.txt.j2"


def compile_edition(
    edition: Edition,
    *,
    publication: Publication,
    vocabulary: Vocabulary,
    templates: TemplateSet,
    settings: EditionSettings,
    look: Look = SHIPPED_LOOK,
    story_ids: Sequence[int] = (),
    has_muting: bool = False,
    counted: CountedLinks | None = None,
) -> CompiledEdition:
    """Lay an edition out for all its readers; `story_ids` are its briefs' stories.

    With `has_muting` each brief links to the page where its story or topic is muted. `counted` are
    the addresses in place of those of `context.list_countable`.

    The same arguments give the same bytes. What a template sees is `context.Context` and the
    functions of `markers.Markers`. Raises `TemplateError` for a fault in a template.
    """
    context = build_context(
        edition,
        publication=publication,
        vocabulary=vocabulary,
        look=look,
        has_feedback=settings.feedback_link and bool(edition.briefs),
        has_muting=has_muting,
        counted=counted,
    )
    prefix = derive_prefix(repr(context))
    days = (
        edition.date,
        *(c.day for c in edition.corrections if c.day),
        *(placing.had_on for placing in edition.placings if placing.had_on),
        *(watched.day for watched in edition.watching),
    )
    written = {write_date(day, publication.language): day for day in days}
    catalogues = read_catalogues(templates.directories, written)
    html_marks = Markers(prefix=prefix, kind="html", catalogues=catalogues)
    plain_marks = Markers(prefix=prefix, kind="plain", catalogues=catalogues)
    rest = _write_rest(edition, publication)
    html = _render_html(
        _with_slots(context, html_marks) if rest else context,
        templates,
        html_marks,
        frozenset(settings.picture_hosts),
    )
    plain = _render_plain(
        _with_slots(context, plain_marks) if rest else context, templates, plain_marks
    )
    headings = {b.number: s.key for s in context.edition.sections if s.title for b in s.briefs}
    phrases = {*html_marks.phrases, *plain_marks.phrases}
    compiled = CompiledEdition(
        subject=context.edition.subject,
        preheader=context.edition.preheader,
        language=context.publication.language,
        html=Part(kind="html", pieces=encode_cuts(html)),
        plain=Part(kind="plain", pieces=encode_cuts(plain)),
        words=_count_block_words(context),
        stories=tuple(
            Story(
                topics=brief.topics,
                has_more=brief.has_more,
                prominence=placing.prominence,
                had_in=frozenset(placing.had_in),
                heading=headings.get(brief.number, ""),
                story_id=story_id,
            )
            for brief, placing, story_id in (
                (brief, edition.placing(n), story_ids[n] if story_ids else 0)
                for n, brief in enumerate(context.edition.briefs)
            )
        ),
        owed=tuple(
            name_edition(c.day, c.kind) if c.is_owed and c.day else "" for c in edition.corrections
        ),
        watched=tuple(watched.topics for watched in context.edition.watching),
        watched_in=tuple(frozenset(watched.had_in) for watched in edition.watching),
        rest=rest,
        most=settings.max_briefs if rest and is_daily(edition.kind) else 0,
        closes_gaps=True,
        lenses=tuple(lens.name for lens in vocabulary.lenses),
        left_out=edition.left_out,
        detail=settings.detail,
        minutes=settings.minutes,
        languages=catalogues.freeze(phrases),
    )
    _check_frame(compiled, templates)
    return compiled


def _write_rest(edition: Edition, publication: Publication) -> Headline | None:
    """Write subject and preheader of what no other edition told; None where that is all."""
    new = [brief for n, brief in enumerate(edition.briefs) if not edition.placing(n).had_in]
    if len(new) == len(edition.briefs):
        return None
    day, kind = edition.date, edition.kind
    subject = format_subject(new, publication=publication, day=day, kind=kind)
    preheader = (
        format_preheader(new, publication=publication, day=day, kind=kind)
        if new
        else format_plain_preheader(publication, day)
    )
    return Headline(subject=clean_line(subject), preheader=clean_line(preheader))


def _with_slots(context: Context, markers: Markers) -> Context:
    """Have subject and preheader be filled for each reader."""
    subject, preheader = (markers.hold(Slot(name)) for name in HEADLINE_SLOTS)
    told = replace(context.edition, subject=subject, preheader=preheader)
    return replace(context, edition=told)


def _render_html(
    context: Context, templates: TemplateSet, markers: Markers, picture_hosts: frozenset[str]
) -> tuple[Cut, ...]:
    main = templates.find(HTML_TEMPLATE)
    marked = _run(HTML_TEMPLATE, context, templates, markers)
    html = build_html(marked, main, picture_hosts=picture_hosts)
    try:
        return markers.cut(inline_styles(html))
    except ValueError as error:
        raise TemplateError(str(error), file=main) from error


def _render_plain(context: Context, templates: TemplateSet, markers: Markers) -> tuple[Cut, ...]:
    text = _run(PLAIN_TEMPLATE, context, templates, markers)
    try:
        return markers.cut(text.strip() + "\n")
    except ValueError as error:
        raise TemplateError(str(error), file=templates.find(PLAIN_TEMPLATE)) from error


def _run(name: str, context: Context, templates: TemplateSet, markers: Markers) -> str:
    variables = {field.name: getattr(context, field.name) for field in fields(context)}
    return templates.render(name, variables, functions=markers.functions, filters=markers.filters)


def _check_frame(compiled: CompiledEdition, templates: TemplateSet) -> None:
    """Refuse a template that leaves no room for a brief."""
    size = Selector(compiled).frame_size
    if size > MAX_HTML_BYTES:
        raise TemplateError(
            f"makes {size:,} bytes of HTML without a single brief, and a mail may have "
            f"{MAX_HTML_BYTES:,}",
            file=templates.find(HTML_TEMPLATE),
            mend="shorten it, or put each form of a brief into its block",
        )


def _count_block_words(context: Context) -> dict[str, int]:
    """Count what there is to read in each block; mastheads, footers, sponsors are not reading."""
    note = context.edition.note
    of_all = (note.heading, *note.text, note.by) if note else ()
    words = {"": sum(map(count_words, of_all))}
    for correction in context.edition.corrections:
        words[correction.key] = sum(map(count_words, (correction.title, *correction.text)))
    for watched in context.edition.watching:
        said = (watched.title, *watched.text, watched.news)
        words[watched.key] = sum(map(count_words, said))
    for brief in context.edition.briefs:
        summary, why = sum(map(count_words, brief.summary)), sum(map(count_words, brief.why))
        title, points = count_words(brief.title), [*map(_count_point_words, brief.points)]
        title += _count_since_words(brief.since)
        words[brief.full_key] = title + summary + why + sum(points)
        watch = _count_point_words(brief.watch) if brief.watch else 0
        words[brief.standard_key] = title + summary + why + watch
        words[brief.line_key] = count_words(brief.title) + count_words(brief.gist)
        for lens in (*brief.lenses, *brief.silent):
            words[lens.key] = sum(map(count_words, (lens.name, *lens.text, lens.caveat)))
    return words


def _count_since_words(since: SinceView | None) -> int:
    """Count what is said of when a story was told before: what changed, or its title then."""
    return count_words(since.text or since.title) if since else 0


def _count_point_words(point: PointView) -> int:
    return sum(map(count_words, (point.label, *point.text)))
