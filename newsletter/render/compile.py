"""An edition and its templates → `CompiledEdition`: one MJML run, one premailer run.

The mail must stay below the size that Gmail clips at. Briefs are blocks, so the first run
tells what each of them weighs; if the whole is too heavy, briefs are taken from the end, the
edition counts them as left out, and it is laid out once more with that count in it.
"""

from __future__ import annotations

from dataclasses import fields, replace
from functools import partial
from typing import NamedTuple

from newsletter.editions.model import Edition
from newsletter.errors import InputError, TemplateError
from newsletter.render.columns import wrap_text
from newsletter.render.compiled import Begin, CompiledEdition, End, Part, Slot
from newsletter.render.context import Context, build_context
from newsletter.render.inline import inline_styles
from newsletter.render.markers import Cut, Markers, derive_prefix, encode_cuts
from newsletter.render.markup import build_html
from newsletter.render.templates import TemplateSet
from newsletter.render.words import count_words
from newsletter.settings import Look, Publication, Vocabulary

HTML_TEMPLATE = "digest.mjml.j2"
PLAIN_TEMPLATE = "digest.txt.j2"

MAX_HTML_BYTES = 100_000
"""Decoded. Gmail clips a message near 102 KB, and the way out of the list with it."""

_SLOT_BYTES = 160  # room for a reader's value: a signed link is the longest
_NOTE_BYTES = 600  # room for the line that counts what was left out


_SHIPPED = Look()


class Compilation(NamedTuple):
    """A compiled edition, and the edition as printed: with fewer briefs if not all fitted."""

    compiled: CompiledEdition
    edition: Edition


def compile_edition(
    edition: Edition,
    *,
    publication: Publication,
    vocabulary: Vocabulary,
    templates: TemplateSet,
    look: Look = _SHIPPED,
) -> Compilation:
    """Lay an edition out for all its readers.

    The same arguments give the same bytes. What a template sees is `context.Context`, and the
    functions `slot(name, default)` and `block(key)`. Raises `TemplateError` for a fault in a
    template, `InputError` for a brief that alone is too large for one mail.
    """
    while True:
        context = build_context(edition, publication=publication, vocabulary=vocabulary, look=look)
        prefix = derive_prefix(repr(context))
        html = _render_html(context, templates, Markers(prefix=prefix, kind="html"))
        kept = _decide_kept(html, edition, templates)
        if kept == len(edition.briefs):
            break
        edition = replace(
            edition,
            briefs=edition.briefs[:kept],
            left_out=edition.left_out + len(edition.briefs) - kept,
        )
    plain = _render_plain(context, templates, Markers(prefix=prefix, kind="plain"))
    compiled = CompiledEdition(
        subject=context.edition.subject,
        preheader=context.edition.preheader,
        language=context.publication.language,
        html=Part(kind="html", pieces=encode_cuts(html)),
        plain=Part(kind="plain", pieces=encode_cuts(plain)),
        words=_count_block_words(context),
    )
    return Compilation(compiled, edition)


def _render_html(context: Context, templates: TemplateSet, markers: Markers) -> tuple[Cut, ...]:
    main = templates.find(HTML_TEMPLATE)
    marked = _run(HTML_TEMPLATE, context, templates, markers)
    html = build_html(marked, main)
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
    return templates.render(
        name,
        variables,
        functions={"slot": markers.slot, "block": markers.block},
        filters={"wrap": partial(wrap_text, mark=markers.pattern)},
    )


def _decide_kept(html: tuple[Cut, ...], edition: Edition, templates: TemplateSet) -> int:
    """Decide how many briefs fit into one mail, counted from the first."""
    weights = [0] * len(edition.briefs)
    frame = 0
    open_keys: list[str] = []
    for cut in html:
        match cut:
            case Begin(key):
                open_keys.append(key)
            case End():
                open_keys.pop()
            case str() | Slot():
                weight = len(cut.encode()) if isinstance(cut, str) else _SLOT_BYTES
                sort, _, number = open_keys[0].partition(":") if open_keys else ("", "", "")
                if sort == "brief" and number.isdecimal() and int(number) < len(weights):
                    weights[int(number)] += weight
                else:
                    frame += weight
    if frame + sum(weights) <= MAX_HTML_BYTES:
        return len(weights)
    room = MAX_HTML_BYTES - frame - _NOTE_BYTES
    if room < 0:
        raise TemplateError(
            f"makes {frame:,} bytes of HTML without a single brief, and a mail may have "
            f"{MAX_HTML_BYTES:,}",
            file=templates.find(HTML_TEMPLATE),
            mend="shorten it, or put each brief into {% call block(brief.key) %}",
        )
    kept = 0
    while kept < len(weights) and weights[kept] <= room:
        room -= weights[kept]
        kept += 1
    if kept == 0:
        raise InputError(
            f"the brief {edition.briefs[0].title[:60]!r} alone makes {weights[0]:,} bytes of "
            f"HTML, and a mail may have {MAX_HTML_BYTES:,}",
            mend="shorten it or take it out",
        )
    return kept


def _count_block_words(context: Context) -> dict[str, int]:
    """Count what there is to read in each block; mastheads, footers, sponsors are not reading."""
    note, corrections = context.edition.note, context.edition.corrections
    of_all = (note.heading, *note.text, note.by) if note else ()
    of_all += tuple(paragraph for correction in corrections for paragraph in correction.text)
    words = {"": sum(map(count_words, of_all))}
    for brief in context.edition.briefs:
        own = (brief.title, *brief.summary, *brief.why)
        points = (text for point in brief.points for text in (point.label, *point.text))
        words[brief.key] = sum(map(count_words, (*own, *points)))
        for lens in (*brief.lenses, *brief.silent):
            said = sum(map(count_words, (lens.name, *lens.text, lens.caveat)))
            words[lens.key] = words.get(lens.key, 0) + said
    return words
