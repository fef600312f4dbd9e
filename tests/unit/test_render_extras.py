"""What an operator adds to an edition, in the mail: note, sponsor, corrections, pictures, look."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import html5lib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import html as lxml_html

from newsletter.audience.reader import Choices, Detail
from newsletter.briefs.model import Brief, Perspective, Picture
from newsletter.editions.model import Correction, Edition, Note, Sponsor, Window
from newsletter.render.columns import count_columns
from newsletter.render.compile import compile_edition
from newsletter.render.compiled import CompiledEdition
from newsletter.render.context import (
    CorrectionView,
    LogoView,
    LookView,
    NoteView,
    PictureView,
    SponsorView,
    clean_line,
    clean_paragraphs,
    clean_url,
)
from newsletter.render.languages import write_date
from newsletter.render.preview import decode_part
from newsletter.render.selection import Selector
from newsletter.render.templates import find_templates
from newsletter.settings import EditionSettings, Look, Publication, Vocabulary
from tests.examples import examples

PUBLICATION = Publication(
    name="Morning Ledger",
    sender="Ledger <ledger@news.example>",
    list_id="daily.news.example",
    url="https://news.example",
)
PICTURE = Picture(
    url="https://pictures.example/it's.jpg?w=1&h=2",
    alt='Two "cranes" & a ship',
    width=1120,
    height=630,
    caption="The harbor at dawn.",
    credit="Ada Example",
)
LENS = Perspective(lens="Household Impact", text="Fares may rise.")
NOTE = Note(heading="A word from the desk", text="Good morning.\n\nThank you.", by="Ada Example")
SPONSOR = Sponsor(
    name="Harbor Coffee",
    text="Roasted where the ships come in.\n\nOpen from six.",
    url="https://coffee.example/a?b=1&c='2'",
    picture=Picture(url="https://pictures.example/cup.jpg", alt="A cup", width=300, height=100),
)
CORRECTIONS = (
    Correction(
        text="The vote was 5 to 4.", day=date(2026, 11, 24), link="https://news.example/port"
    ),
    Correction(text="The wrong pier was named."),
)
PLAIN = Edition(
    date=date(2026, 11, 25),
    window=Window(
        start=datetime(2026, 11, 24, tzinfo=UTC), cut_off=datetime(2026, 11, 25, tzinfo=UTC)
    ),
    subject="Ferries stop",
    preheader="",
    briefs=(Brief(title="Ferries stop", summary="They stopped."),),
)
WHOLE = replace(
    PLAIN,
    briefs=(replace(PLAIN.briefs[0], picture=PICTURE),),
    note=NOTE,
    sponsor=SPONSOR,
    corrections=CORRECTIONS,
)
LOGO = {
    "url": "https://pictures.example/logo.png",
    "width": 220,
    "height": 40,
    "alt": "The Ledger",
}
VALUES = {
    "web_url": "https://news.example/e",
    "preferences_url": "https://news.example/p",
    "unsubscribe_url": "https://news.example/u",
    "email": "ada@reader.example",
}

Run = Callable[..., tuple[str, str]]

# Each partial where a digest has it, and nothing else: what they say is theirs alone.
HTML = """\
{% set start = "left" %}
<mjml lang="en"><mj-head>{% include "partials/head.mjml.j2" %}</mj-head>
<mj-body width="640px" background-color="{{ look.ground }}" css-class="page">
<mj-section><mj-column css-class="col">
<mj-text>{% include "partials/logo.mjml.j2" %}</mj-text>
{% if edition.corrections %}{% include "partials/corrections.mjml.j2" %}{% endif %}
{% if edition.note %}{% include "partials/note.mjml.j2" %}{% endif %}
{% for brief in edition.briefs if brief.picture %}
<mj-text>{% with picture = brief.picture %}{% include "partials/picture.mjml.j2" %}{% endwith %}
</mj-text>
{% endfor %}
{% if edition.sponsor %}{% include "partials/sponsor.mjml.j2" %}{% endif %}
</mj-column></mj-section></mj-body></mjml>
"""
TEXT = """\
{% if edition.corrections %}
{% include "partials/corrections.txt.j2" %}
{% endif %}
{% if edition.note %}
{% include "partials/note.txt.j2" %}
{% endif %}
{% for brief in edition.briefs if brief.picture %}
{% with picture = brief.picture %}{% include "partials/picture.txt.j2" %}{% endwith %}
{% endfor %}
{% if edition.sponsor %}
{% include "partials/sponsor.txt.j2" %}
{% endif %}
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("templates")
    (folder / "digest.mjml.j2").write_text(HTML)
    (folder / "digest.txt.j2").write_text(TEXT)
    return folder


HOSTS = ("pictures.example", "x.example")


def compile_it(edition: Edition, folder: Path | None, look: Look | None = None) -> CompiledEdition:
    return compile_edition(
        edition,
        publication=PUBLICATION,
        vocabulary=Vocabulary(sponsor_label="Advertisement"),
        templates=find_templates(folder),
        settings=EditionSettings(picture_hosts=HOSTS),
        look=look or Look(),
    )


def both(compiled: CompiledEdition, values: dict[str, str] = VALUES) -> tuple[str, str]:
    everything = Selector(compiled).select_everything()
    return (
        decode_part(compiled.html, values, everything),
        decode_part(compiled.plain, values, everything),
    )


def parse(html: str) -> lxml_html.HtmlElement:
    return lxml_html.document_fromstring(
        html.encode(), parser=lxml_html.HTMLParser(encoding="utf-8")
    )


def parse_errors(html: str) -> list[Any]:
    parser = html5lib.HTMLParser()
    parser.parse(html)
    return list(parser.errors)


def squeeze(text: str) -> str:
    return re.sub(r"\s+", "", text)


def test_html_and_text_say_all_of_it(alone: Path) -> None:
    html, plain = both(compile_it(WHOLE, alone))
    assert parse_errors(html) == []
    told = squeeze(parse(html).text_content())
    for fact in (
        "A word from the desk", "Good morning.", "Thank you.", "Ada Example", "Harbor Coffee",
        "Roasted where the ships come in.", "Open from six.", "The vote was 5 to 4.",
        write_date(date(2026, 11, 24), "en"), "The wrong pier was named.", "The harbor at dawn.",
    ):  # fmt: skip
        assert squeeze(fact) in told
        assert squeeze(fact) in squeeze(plain)
    for alt in (PICTURE.alt, "A cup"):
        assert f"[{alt}]" in plain
    links = {str(href) for href in parse(html).xpath("//a/@href")}
    assert links == {SPONSOR.url, "https://news.example/port"}
    assert all(link in plain for link in links)
    assert all(count_columns(li) <= 78 for li in plain.split("\n") if "https://" not in li)


def test_without_additions_nothing_is_there(alone: Path) -> None:
    html, plain = both(compile_it(PLAIN, alone))
    assert parse(html).xpath("//body//a|//img|//h2") == []
    assert plain.strip() == ""


def test_a_sponsor_is_labelled_and_so_is_the_link(alone: Path) -> None:
    html, plain = both(compile_it(WHOLE, alone))
    (box,) = parse(html).xpath("//div[@class='ad']")
    assert squeeze(box.text_content()).startswith("AdvertisementHarborCoffee")
    (link,) = box.xpath(".//a")
    assert link.get("rel") == "sponsored"
    assert "Advertisement: Harbor Coffee\n" in plain


def test_a_picture_has_its_size_and_its_words(alone: Path) -> None:
    html = parse(both(compile_it(WHOLE, alone))[0])
    large, small = html.xpath("//img")
    assert (large.get("src"), large.get("alt")) == (PICTURE.url, PICTURE.alt)
    assert (large.get("width"), large.get("height")) == ("560", "315")  # what the column has
    assert (small.get("width"), small.get("height")) == ("300", "100")  # as it was given
    for picture in (large, small):
        style = dict(re.findall(r"([a-z-]+):\s*([^;]+)", picture.get("style")))
        assert (style["width"], style["height"]) == ("100%", "auto")
        assert style["max-width"] == picture.get("width") + "px"
        assert style["font-style"] == "italic"  # of its words, where it is not loaded


def test_a_sponsor_counts_no_words_and_a_note_and_corrections_do(alone: Path) -> None:
    assert compile_it(PLAIN, alone).words[""] == 0
    assert compile_it(replace(PLAIN, sponsor=SPONSOR), alone).words[""] == 0
    assert compile_it(replace(PLAIN, note=NOTE), alone).words[""] == 5 + 4 + 2
    corrected = compile_it(replace(PLAIN, corrections=CORRECTIONS), alone).words
    assert [corrected[key] for key in ("", "correction:0", "correction:1")] == [0, 6, 5]


def test_every_name_of_them_is_documented() -> None:
    head = find_templates().find("digest.mjml.j2").read_text().partition("#}")[0]
    views = (NoteView, SponsorView, CorrectionView, PictureView, LogoView, LookView)
    names = {field.name for view in views for field in fields(view)}
    assert {name for name in names if not re.search(rf"\b{name}\b", head)} == set()


# -- the shipped digest ------------------------------------------------------------------------


def test_the_shipped_digest_shows_it_all_in_its_order() -> None:
    brief = replace(WHOLE.briefs[0], why_it_matters="Why.", perspectives=(LENS,))
    compiled = compile_it(replace(WHOLE, briefs=(brief, PLAIN.briefs[0])), None)
    order = ["Morning Ledger", "Corrections", "The vote was", "From the editor", "Good morning.",
             "In this edition", "The harbor at dawn.", "They stopped.", "Advertisement",
             "Open from six.", "You are up to date"]  # fmt: skip
    for text in both(compiled):
        places = [text.index(part, text.index("Read in")) for part in order[1:]]
        assert places == sorted(places)
    html, _ = both(compiled)
    assert parse_errors(html) == []
    assert len(parse(html).xpath("//h1")) == 1


def test_a_quiet_day_has_them_as_well() -> None:
    html, plain = both(compile_it(replace(WHOLE, briefs=()), None))
    for fact in ("Good morning.", "The vote was 5 to 4.", "Advertisement", "Harbor Coffee"):
        assert fact in html
        assert fact in plain


@pytest.mark.parametrize(("detail", "count"), [("full", 1), ("standard", 1), ("one-line", 0)])
def test_each_form_of_a_brief_but_the_line_has_its_picture(detail: Detail, count: int) -> None:
    brief = replace(WHOLE.briefs[0], perspectives=(LENS,))
    compiled = compile_it(replace(PLAIN, briefs=(brief,)), None)
    selection = Selector(compiled).select(Choices(detail=detail, minutes=60))
    html = parse(decode_part(compiled.html, VALUES, selection))
    assert [img.get("alt") for img in html.xpath("//img")] == [PICTURE.alt] * count
    assert decode_part(compiled.plain, VALUES, selection).count(f"[{PICTURE.alt}]") == count


# -- the look ----------------------------------------------------------------------------------


def test_every_colour_of_the_mail_is_a_setting(alone: Path) -> None:
    """Give each setting a colour of its own, and look for any other."""
    dark = {f"{name}_dark": f"#f{n}f0f0" for n, name in enumerate(("accent", "ink", "muted"))}
    colours = {
        "accent": "#300101", "ink": "#300202", "muted": "#300303",
        "ground": "#fafafa", "tint": "#fbfbfb", "hairline": "#cacaca",
        "ground_dark": "#010101", "tint_dark": "#020202", "hairline_dark": "#333333", **dark,
    }  # fmt: skip
    look = Look.model_validate({**colours, "serif": "Charter,serif", "sans": "Verdana,sans-serif"})
    html, _ = both(compile_it(WHOLE, alone, look))
    html = re.sub(r'<div style="display:none;[^"]*">', "", html)  # the preheader, never seen
    assert set(re.findall(r"#[0-9a-f]{6}", html.lower())) == set(colours.values())
    for font in ("Georgia", "Segoe", "Arial"):
        assert font not in html
    assert "Charter,serif" in html
    assert "Verdana,sans-serif" in html


def test_the_shipped_digest_has_no_colour_or_font_of_its_own() -> None:
    for path in find_templates().find("digest.mjml.j2").parent.rglob("*.mjml.j2"):
        text = re.sub(r"\{#.*?#\}", "", path.read_text(), flags=re.DOTALL)
        assert re.findall(r"#[0-9a-fA-F]{6}\b|Georgia|Arial", text) == [], path.name


def test_without_a_logo_the_name_is_text(alone: Path) -> None:
    html = parse(both(compile_it(PLAIN, alone))[0])
    assert [h.text_content().strip() for h in html.xpath("//h1")] == ["Morning Ledger"]


def test_a_logo_stands_above_the_name(alone: Path) -> None:
    html = parse(both(compile_it(PLAIN, alone, Look.model_validate({"logo": LOGO})))[0])
    (logo,) = html.xpath("//img")
    assert [logo.get(name) for name in ("src", "alt", "width", "height")] == [
        "https://pictures.example/logo.png",
        "The Ledger",
        "220",
        "40",
    ]
    assert html.xpath("//h1")[0].text_content().strip() == "Morning Ledger"


def test_a_logo_may_be_the_name_and_have_a_twin_for_the_dark(alone: Path) -> None:
    logo = {**LOGO, "url_dark": "https://pictures.example/night.png", "replaces_name": True}
    source, _ = both(compile_it(PLAIN, alone, Look.model_validate({"logo": logo})))
    (heading,) = parse(source).xpath("//h1")
    assert heading.text_content().strip() == ""
    light, dark = heading.xpath(".//img")
    assert (light.get("alt"), dark.get("alt")) == ("The Ledger", "The Ledger")
    assert "display:none" in dark.get("style")  # also where the style block is dropped
    assert "display:none" not in light.get("style")
    style = "".join(parse(source).xpath("//style/text()"))
    assert re.search(r"\.page \.moon \{ display: inline-block !important; \}", style)
    assert re.search(r"\[data-ogsc\] \.page \.sun \{ display: none !important; \}", style)
    assert parse_errors(source) == []


# -- readers' own fields -----------------------------------------------------------------------


def test_readers_own_fields_work_in_each_partial_in_text_and_in_attributes(tmp_path: Path) -> None:
    city = 'slot("fields.city", default="your <town>")'
    names = ("corrections", "note", "picture", "sponsor")
    (tmp_path / "partials").mkdir()
    shipped = find_templates().directories[-1] / "partials"
    for name in (*names, "logo"):
        html = (shipped / f"{name}.mjml.j2").read_text()
        inside = (
            f'<p><a href="https://news.example/?at={{{{ {city} }}}}">In {{{{ {city} }}}}</a></p>'
        )
        if name in ("picture", "logo"):  # they stand within <mj-text>
            html += inside
        else:
            html = html.replace("</mj-text>", inside + "</mj-text>")
        (tmp_path / "partials" / f"{name}.mjml.j2").write_text(html)
        if name != "logo":
            plain = (shipped / f"{name}.txt.j2").read_text() + f"In {{{{ {city} }}}}\n"
            (tmp_path / "partials" / f"{name}.txt.j2").write_text(plain)
    (tmp_path / "digest.mjml.j2").write_text(HTML)
    (tmp_path / "digest.txt.j2").write_text(TEXT)
    edition = replace(WHOLE, sponsor=replace(SPONSOR, picture=None))
    compiled = compile_it(edition, tmp_path)
    evil = 'X" onclick="y<b>&'
    for value, shown in (("", "your <town>"), ("Åbo", "Åbo"), (evil, evil)):
        values = VALUES | {"fields.city": value}
        html, plain = both(compiled, values)
        links = [a for a in parse(html).xpath("//a") if a.text_content().startswith("In ")]
        assert [(a.text_content(), a.get("href"), a.get("onclick")) for a in links] == [
            (f"In {shown}", f"https://news.example/?at={shown}", None)
        ] * 5
        assert parse_errors(html) == []
        assert plain.count(f"In {shown}\n") == 4


# -- hostile text ------------------------------------------------------------------------------

EVIL = (
    "<script>alert(1)</script> {{7*7}} {% x %} ]]> --> <!-- \"q\" 's' &lt; &amp; \u202eabc\u202c "
    "</td></table> \x00\x02f:9\x03 \ud800 NL0123456789ABCDEFB0E\r\nBcc: x@y.example"
)
_PARTS = ["<", ">", "&", '"', "'", "{{", "}}", "]]>", "<!--", "-->", "\x00", "\r\n", "\n\n", "a",
          "mj-text", "/", "\u2066", "\u2029", "<img src=x onerror=y>", "javascript:"]  # fmt: skip
HOSTILE = st.one_of(
    st.just(EVIL),
    st.text(st.characters(codec=None), max_size=40),
    st.lists(st.sampled_from(_PARTS), max_size=12).map("".join),
)
URLS = st.one_of(
    st.sampled_from(["javascript:alert(1)", "data:text/html,x", "https://x.example/'\" onload='x"]),
    HOSTILE.map("https://x.example/{}".format),
    HOSTILE,
)
PICTURES = st.builds(
    Picture,
    url=URLS,
    alt=HOSTILE,
    width=st.integers(1, 10_000),
    height=st.integers(1, 10_000),
    caption=HOSTILE,
    credit=HOSTILE,
)
HOSTILE_EDITIONS = st.builds(
    replace,
    st.just(PLAIN),
    briefs=PICTURES.map(lambda picture: (replace(PLAIN.briefs[0], picture=picture),)),
    note=st.builds(Note, text=HOSTILE, heading=HOSTILE, by=HOSTILE),
    sponsor=st.builds(Sponsor, name=HOSTILE, text=HOSTILE, url=URLS, picture=st.none() | PICTURES),
    corrections=st.lists(
        st.builds(Correction, text=HOSTILE, day=st.none() | st.dates(), link=URLS), max_size=2
    ).map(tuple),
)


@settings(max_examples=examples(40), deadline=None)
@given(edition=HOSTILE_EDITIONS, label=HOSTILE.map(clean_line).filter(bool))
def test_hostile_text_is_inert_in_every_field(alone: Path, edition: Edition, label: str) -> None:
    compiled = compile_edition(
        edition,
        publication=PUBLICATION,
        vocabulary=Vocabulary(sponsor_label=label),
        templates=find_templates(alone),
        settings=EditionSettings(picture_hosts=HOSTS),
    )
    html, plain = both(compiled)
    assert parse_errors(html) == []
    tree = parse(html)
    assert not tree.xpath("//script|//iframe|//form|//*[starts-with(name(@*), 'on')]")
    picture, sponsor, note = edition.briefs[0].picture, edition.sponsor, edition.note
    assert picture
    assert sponsor
    assert note
    given = [picture, *([sponsor.picture] if sponsor.picture else [])]
    shown = [each for each in given if clean_url(each.url)]
    images = tree.xpath("//img")
    assert [squeeze(image.get("alt")) for image in images] == [
        squeeze(clean_line(p.alt)) for p in shown
    ]
    for image in images:
        assert set(image.keys()) == {"class", "src", "alt", "width", "height", "border", "style"}
        assert 1 <= int(image.get("width")) <= 560
    for url in (*tree.xpath("//a/@href"), *tree.xpath("//img/@src")):
        assert re.match(r"https?://[^/\s<>\"']+/|$", str(url) + "/" * (str(url) != ""))
    said = [note.text, sponsor.text, *(c.text for c in edition.corrections)]
    lines = [note.heading, note.by, sponsor.name, label]
    lines += [text for each in shown for text in (each.caption, each.credit)]
    for text in (*map(clean_line, lines), *(p for t in said for p in clean_paragraphs(t))):
        assert squeeze(text) in squeeze(tree.text_content())
        assert squeeze(text) in squeeze(plain)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", html + plain)
