"""The head of `digest.mjml.j2` tells what a template can use: all of it, and nothing else.

The names come from the program itself, by its types, so that nothing can be added or renamed
without the comment.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from typing import Any, NamedTuple, get_args, get_type_hints

import pytest

from newsletter.editions.model import Edition, Window
from newsletter.render.compile import compile_edition
from newsletter.render.compiled import SLOTS
from newsletter.render.context import Context
from newsletter.render.templates import TemplateSet, find_templates
from newsletter.settings import EditionSettings, Publication, Vocabulary

View = type[Any]


class Entry(NamedTuple):
    """One line of the comment that begins with names, and the lines that go on with it."""

    names: str
    text: str


class Paragraph(NamedTuple):
    """What stands between two empty lines."""

    text: str
    entries: tuple[Entry, ...]


def read_head(text: str) -> tuple[Paragraph, ...]:
    """Read the comment at the head of a template: names, two blanks or more, what they say."""
    paragraphs = []
    for paragraph in re.split(r"\n[ \t]*\n", text.partition("{#")[2].partition("#}")[0]):
        entries: list[Entry] = []
        for line in paragraph.splitlines():
            if re.match(r"  \S", line):
                entries.append(Entry(re.split(r"\s{2,}", line.strip())[0], line))
            elif re.match(r"   ", line) and entries:
                entries[-1] = Entry(entries[-1].names, f"{entries[-1].text}\n{line}")
        paragraphs.append(Paragraph(paragraph, tuple(entries)))
    return tuple(paragraphs)


def view_of(hint: Any) -> View | None:
    """Find the dataclass in a type such as `tuple[LensView, ...]` or `PointView | None`."""
    if is_dataclass(hint) and isinstance(hint, type):
        return hint
    return next(filter(None, map(view_of, get_args(hint))), None)


def routes(view: View = Context) -> Iterator[tuple[str, View]]:
    """Yield the name of each attribute that leads to a view, and that view."""
    for name, hint in get_type_hints(view).items():
        if inner := view_of(hint):
            yield name, inner
            yield from routes(inner)


def names_of(view: View) -> set[str]:
    return {field.name for field in fields(view)}


def is_heading_of(paragraph: Paragraph, attribute: str) -> bool:
    """Tell whether a paragraph begins "Each brief has" and the attribute is `briefs`."""
    each = re.search(r"^Each (\w+) has", paragraph.text, re.MULTILINE)
    return each is not None and attribute.startswith(each[1])


def told_about(head: tuple[Paragraph, ...], attribute: str) -> set[str]:
    """Gather the names that the comment tells of the view that `attribute` leads to."""
    told: set[str] = set()
    for paragraph in head:
        if is_heading_of(paragraph, attribute):
            prose = re.sub(r"(?m)^  .*$", "", paragraph.text)
            told.update(re.findall(r"\w+", prose))
            told.update(*(re.findall(r"\w+", entry.names) for entry in paragraph.entries))
        for entry in paragraph.entries:
            if attribute in re.findall(r"\w+", entry.names):
                told.update(re.findall(rf"\b{attribute}\.(\w+)", entry.names))
                told.update(re.findall(r"(?<=\s)\.(\w+)", entry.text))
    return told


def undocumented(head: tuple[Paragraph, ...]) -> set[str]:
    """Find the fields of views that are told nowhere near the name that leads to them."""
    roots = {word for p in head for e in p.entries for word in re.findall(r"^\w+", e.names)}
    told: dict[View, set[str]] = {Context: roots}
    for attribute, view in routes():
        told.setdefault(view, set()).update(told_about(head, attribute))
    return {
        f"{view.__name__}.{name}" for view, known in told.items() for name in names_of(view) - known
    }


def invented(head: tuple[Paragraph, ...], functions: set[str]) -> set[str]:
    """Find the names in the comment that do not exist."""
    views: dict[str, set[str]] = {}
    for attribute, view in routes():
        views.setdefault(attribute, set()).update(names_of(view))
    known = {*views, *functions, *SLOTS}.union(*views.values())
    wrong = {word for p in head for word in re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", p.text)} - known
    for paragraph in head:
        each = re.search(r"^Each (\w+) has", paragraph.text, re.MULTILINE)
        owners = [a for a in views if each and a.startswith(each[1])]
        for entry in paragraph.entries:
            names = re.findall(r"\w+", entry.names.partition("(")[0])
            if each:
                wrong |= set(names) - set().union(*(views[owner] for owner in owners))
            if "." in entry.names:
                wrong |= {names[0]} - views.keys() | set(names[1:]) - views.get(names[0], set())
            for part in re.findall(r"(?<=\s)\.([a-z_]+)\b", entry.text):
                if not any(part in views.get(name, ()) for name in names):
                    wrong.add(part)
            called = re.match(r"(?:{% call )?(\w+)\(|\w+\|(\w+)", entry.names)
            if called:
                wrong |= {called[1] or called[2]} - functions
            if entry.names.startswith("slot("):
                listed = re.search(r"(?:\w+,\s+){3,}", entry.text)
                wrong |= set(re.findall(r"\w+", listed[0] if listed else "")) - SLOTS.keys()
    return wrong


@pytest.fixture(scope="module")
def functions() -> set[str]:
    """Hear what functions and filters templates are given."""
    heard: set[str] = set()
    render = TemplateSet.render

    def listen(
        self: TemplateSet,
        name: str,
        variables: Mapping[str, Any],
        functions: Mapping[str, Callable[..., Any]],
        filters: Mapping[str, Callable[..., Any]],
    ) -> str:
        heard.update(functions, filters)
        assert set(variables) == names_of(Context)
        return render(self, name, variables, functions, filters)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TemplateSet, "render", listen)
        compile_edition(
            Edition(
                date=date(2026, 11, 23),
                window=Window(
                    start=datetime(2026, 11, 22, tzinfo=UTC),
                    cut_off=datetime(2026, 11, 23, tzinfo=UTC),
                ),
                subject="a",
                preheader="",
                briefs=(),
            ),
            publication=Publication(
                sender="ledger@news.example",
                list_id="daily.news.example",
                url="https://news.example",
            ),
            vocabulary=Vocabulary(),
            templates=find_templates(),
            settings=EditionSettings(),
        )
    return heard


HEAD = find_templates().find("digest.mjml.j2").read_text(encoding="utf-8")


def test_every_field_that_a_template_sees_is_told() -> None:
    assert undocumented(read_head(HEAD)) == set()


def test_every_function_filter_and_slot_is_told(functions: set[str]) -> None:
    entries = [entry for p in read_head(HEAD) for entry in p.entries]
    names = "\n".join(entry.names for entry in entries)
    assert {n for n in functions if not re.search(rf"(?<!\w){n}(?!\w)", names)} == set()
    (slots,) = (entry.text for entry in entries if entry.names.startswith("slot("))
    assert {name for name in SLOTS if not re.search(rf"\b{name}\b", slots)} == set()


def test_nothing_is_told_that_does_not_exist(functions: set[str]) -> None:
    assert invented(read_head(HEAD), functions) == set()


@pytest.mark.parametrize(
    ("old", "new", "lost"),
    [
        ("edition.subject ", "edition.title ", "EditionView.subject"),
        ("  .direction", "", "PublicationView.direction"),
        ("has_analysis ", "analysed ", "BriefView.has_analysis"),
        (".caveat", "", "LensView.caveat"),
        (".label and ", "", "PointView.label"),
        ("title, link ", "title ", "BriefView.link"),
    ],
)
def test_a_name_that_is_left_out_is_missed(old: str, new: str, lost: str) -> None:
    assert old in HEAD
    assert lost in undocumented(read_head(HEAD.replace(old, new)))


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("edition.subject ", "edition.headline ", "headline"),
        ("  .url  .postal", "  .uri  .postal", "uri"),
        ("has_analysis ", "has_opinion ", "has_opinion"),
        ("title, link ", "title, href ", "href"),
        (".label and", ".heading and", "heading"),
        ("web_url,", "web_page,", "web_page"),
        ("email,", "mail,", "mail"),
        ("{% call block(", "{% call section(", "section"),
        ("slot(NAME, default", "hole(NAME, default", "hole"),
        ("publication.name ", "publisher.name ", "publisher"),
    ],
)
def test_a_name_that_is_made_up_is_noticed(
    functions: set[str], old: str, new: str, name: str
) -> None:
    assert old in HEAD
    assert name in invented(read_head(HEAD.replace(old, new)), functions)
