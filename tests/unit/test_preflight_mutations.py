"""For each check a mail that was made bad on purpose, and that no other check catches."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from newsletter.briefs.model import Perspective, Picture
from newsletter.editions.model import Correction, Edition, Note, Sponsor
from newsletter.render.addresses import edition_path
from newsletter.render.compile import compile_edition
from newsletter.render.preflight import CHECKS, Finding, Mail, examine, read_copies
from newsletter.render.preflight.mail import build_mail
from newsletter.render.selection import Selection
from newsletter.render.templates import find_templates
from newsletter.render.web import Published, file_of
from newsletter.render.web_pages import build_pages
from newsletter.settings import EditionSettings, Vocabulary
from tests.unit.test_render_preflight import BRIEF, EDITION, PUBLICATION

HOSTS = ("pictures.example",)
PICTURE = Picture(
    url="https://pictures.example/crane.jpg",
    alt="Two cranes",
    width=1120,
    height=630,
    caption="The harbor at dawn.",
)


@cache
def make(
    edition: Edition = EDITION, vocabulary: Vocabulary | None = None, own: Path | None = None
) -> Mail:
    vocabulary = vocabulary or Vocabulary()
    compiled = compile_edition(
        edition,
        publication=PUBLICATION,
        vocabulary=vocabulary,
        templates=find_templates(own),
        settings=EditionSettings(picture_hosts=HOSTS),
    )
    copies = read_copies(edition, compiled, publication=PUBLICATION, vocabulary=vocabulary)
    return copies["who chose nothing"]


def change(
    mail: Mail,
    *,
    source: str | None = None,
    plain: str | None = None,
    selection: Selection | None = None,
    web: str | None = None,
    picture_hosts: tuple[str, ...] = (),
) -> Mail:
    return build_mail(
        mail.context,
        mail.compiled,
        source=mail.source if source is None else source,
        plain=mail.plain if plain is None else plain,
        values=mail.values,
        selection=selection or mail.selection,
        minutes=mail.minutes,
        picture_hosts=frozenset(picture_hosts),
        web=web,
    )


def swap(text: str, old: str, new: str) -> str:
    assert old in text, old
    return text.replace(old, new, 1)


def in_html(old: str, new: str) -> Callable[[Mail], Mail]:
    return lambda mail: change(mail, source=swap(mail.source, old, new))


def at_the_end(markup: str) -> Callable[[Mail], Mail]:
    """Put markup behind the last paragraph of the footer."""
    return in_html(
        "</div></td></tr></tbody></table></div><!--[if mso",
        f"{markup}</div></td></tr></tbody></table></div><!--[if mso",
    )


def in_plain(old: str, new: str) -> Callable[[Mail], Mail]:
    return lambda mail: change(mail, plain=swap(mail.plain, old, new))


def in_both(markup: str, words: str) -> Callable[[Mail], Mail]:
    return lambda mail: in_plain("You are up to date", f"{words}\nYou are up to date")(
        at_the_end(markup)(mail)
    )


WRAPPER = 'role="article" lang="en" dir="ltr"'
MUTED = 'class="mute" style="'
HIDDEN = '<div style="display:none'
TABLE = 'max-width:640px;"><table border="0" cellpadding="0" cellspacing="0"'
WORDS_TABLE = 'role="presentation" align="center" width="640"'
WORDS_END = "<!--[if mso | IE]></td></tr></table><![endif]-->"
UNSUBSCRIBE = ">Unsubscribe</a>"
UP = "You are up to date"
REDIRECT = "https://news.example/c?to=https%3A%2F%2Fpost.example%2F1"
REASON = "Routes depend on it."


def everywhere(pattern: str, new: str) -> Callable[[Mail], Mail]:
    return lambda mail: change(mail, source=re.sub(pattern, new, mail.source))


MUTATIONS: list[tuple[int, str, Callable[[Mail], Mail]]] = [
    (1, "a comment ahead of the doctype", everywhere("^", "<!-- x -->")),
    (2, "a wrapper in another language", in_html(WRAPPER, 'role="article" lang="de" dir="ltr"')),
    (2, "a wrapper without direction", in_html(WRAPPER, 'role="article" lang="en"')),
    (3, "another title", in_html("<title>Harbor vote", "<title>Port vote")),
    (3, "a label that says nothing", everywhere('aria-label="[^"]*"', 'aria-label=" "')),
    (4, "a level skipped", everywhere("(</?)h3", r"\1h4")),
    (4, "an empty heading", at_the_end("<h2> </h2>")),
    (5, "a table that is read out", in_html(f'{TABLE} role="presentation"', TABLE)),
    (6, "a file name for a picture's words", at_the_end('<img alt="chart.webp">')),
    (6, "a picture without words", at_the_end("<img>")),
    (11, "no word of schemes for older clients", everywhere('name="supported', 'name="some')),
    (11, "no dark ground in Outlook.com", everywhere(r"\[data-ogsb\]", ".unused")),
    (16, "a heavy comment", at_the_end(f"<!--{'x' * 81_000}-->")),
    (17, "too many rules", in_html("</style>", f"{'.a {color: red}' * 900}</style>")),
    (18, "a link that says nothing", in_html(UNSUBSCRIBE, ">Here…</a>")),
    (
        18,
        "a link whose picture says nothing",
        in_html(UNSUBSCRIBE, '><img alt="" width="90" height="20"></a>'),
    ),
    (18, "a link that says nothing in Spanish", in_html(UNSUBSCRIBE, ">Leer más »</a>")),
    (21, "a comment left open", in_html("</noscript>\n<![endif]-->", "</noscript>")),
    (21, "a condition that is none", in_html("<!--[if lte mso 11]>", "<!--[if outlook]>")),
    (21, "a row left open in Word alone", in_html(WORDS_END, WORDS_END.replace("</tr>", ""))),
    (
        21,
        "a button without a cell of its colour",
        in_html('class="way" href', 'style="background:#9a2617;color:#fff;padding:8px" href'),
    ),
    (22, "another density", in_html("<o:PixelsPerInch>96", "<o:PixelsPerInch>120")),
    (22, "a wide table", in_html(WORDS_TABLE, WORDS_TABLE.replace("640", "700"))),
    (22, "no width", in_html('width="640" style="width:640px;"', 'style="max-width:640px"')),
    (22, "a table read out in Word", in_html(WORDS_TABLE, 'align="center" width="640"')),
    (23, "a layout that Outlook does not know", in_html(MUTED, f"{MUTED}display:flex;")),
    (23, "a variable that Gmail does not know", in_html(MUTED, f"{MUTED}color:var(--muted);")),
    (23, "an element that few know", at_the_end('<picture><img alt="A port"></picture>')),
    (23, "a font from a style", in_html("</style>", "@font-face {font-family: x}</style>")),
    (
        24,
        "words ahead of the preheader",
        everywhere('<div style="display:none', r"<p>Hello</p>\g<0>"),
    ),
    (24, "text ahead of the preheader", everywhere('<div style="display:none', r"Hello\g<0>")),
    (24, "a preheader that is seen", in_html('<div style="display:none;', '<div style="')),
    (25, "a source's address left out", lambda m: change(m, plain=without_source(m.plain))),
    (25, "a reason left out once", in_plain(REASON, "")),
    (25, "a long line", in_plain(UP, f"{'x' * 79}\n{UP}")),
    (
        25,
        "a long line behind an address",
        in_plain(UP, f"{'x ' * 40} https://post.example/1\n{UP}"),
    ),
    (25, "markup", in_plain(UP, "You are&nbsp;up to date<br>")),
    (26, "a reason left out once", in_html(REASON, "")),
    (
        26,
        "what the preheader alone says",
        lambda m: in_html("return to the coast", f"return to the coast {REASON}")(
            in_html(REASON, "")(m)
        ),
    ),
    (28, "a background", in_html(MUTED, f"{MUTED}background:url(https://news.example/x.png);")),
    (
        29,
        "a link to somebody else",
        in_both('<a href="https://go.example/">Our friends</a>', "https://go.example/"),
    ),
    (29, "a redirect of one's own", in_both(f'<a href="{REDIRECT}">The port</a>', REDIRECT)),
    (29, "a counting pixel", at_the_end('<img alt="" width="1" height="1">')),
    (30, "a handler", in_html('class="mute"', 'class="mute" onmouseover="a()"')),
    (
        30,
        "a script for Word",
        in_html(WORDS_END, WORDS_END.replace("</table>", "</table><script>a()</script>")),
    ),
    (30, "a mark left over", in_both("{{ edition.title }}", "")),
    (30, "a direction that runs on", in_plain(UP, f"\u202e{UP}")),
    (30, "an address that runs", in_html("<body", '<body action="javascript:a()"')),
    (
        30,
        "a mail that goes elsewhere",
        in_html("<head>", '<head><meta http-equiv="refresh" content="0">'),
    ),
]


def without_source(plain: str) -> str:
    return plain.replace("https://post.example/1\n", "")


def find_trouble(mail: Mail) -> dict[int, Finding]:
    return {f.number: f for f in examine(mail) if f.status in ("warn", "fail")}


def test_the_sound_mail_has_no_trouble() -> None:
    assert find_trouble(make()) == {}


@pytest.mark.parametrize(
    ("number", "mutate"),
    [pytest.param(number, mutate, id=f"{number}-{name}") for number, name, mutate in MUTATIONS],
)
def test_a_mail_made_bad_is_caught_by_its_check_alone(
    number: int, mutate: Callable[[Mail], Mail]
) -> None:
    trouble = find_trouble(mutate(make()))
    assert set(trouble) == {number}, trouble
    assert trouble[number].mend


LOUD = Perspective(lens="Household Impact", text="Prices may ease a little. " * 20)
HEBREW = "הנמל אושר (Port Alder)"
EDITIONS: list[tuple[int, str, Edition]] = [
    (24, "a short preheader", replace(EDITION, preheader="Seeds")),
    (
        24,
        "a preheader that tells the subject's story",
        replace(
            EDITION,
            subject="Harbor city approves port; river gauges",
            preheader="Harbor city approves port; seed prices, and more of the day",
        ),
    ),
    (31, "a brief without a source", replace(EDITION, briefs=(replace(BRIEF, sources=()),))),
    (34, "a long subject", replace(EDITION, subject="Harbor vote, " * 5)),
    (34, "a shouting subject", replace(EDITION, subject="HARBOR VOTE, RIVER GAUGES")),
    (34, "an excited subject", replace(EDITION, subject="Harbor vote!!")),
    (34, "a subject out of a lens", replace(EDITION, subject="They may call it a subsidy")),
    (
        24,
        "a preheader out of the quick take",
        replace(
            EDITION,
            briefs=(
                replace(
                    BRIEF,
                    quick_take=(
                        replace(BRIEF.quick_take[0], text="Smaller ports up the coast lose trade."),
                    ),
                ),
            ),
            preheader="Why smaller ports up the coast lose trade, and what follows",
        ),
    ),
    (
        35,
        "one voice",
        replace(EDITION, briefs=(replace(BRIEF, perspectives=BRIEF.perspectives[1:]),)),
    ),
    (
        35,
        "a loud voice",
        replace(EDITION, briefs=(replace(BRIEF, perspectives=(LOUD, BRIEF.perspectives[1])),)),
    ),
    (
        35,
        "a voice that never speaks",
        replace(
            EDITION,
            briefs=tuple(
                replace(
                    BRIEF,
                    title=f"Story {n}",
                    perspectives=(
                        *BRIEF.perspectives,
                        Perspective(lens="Civil Liberties View", text="No direct implication."),
                    ),
                )
                for n in range(3)
            ),
        ),
    ),
    (36, "a quiet day that had news", replace(EDITION, briefs=(), left_out=2)),
]


@pytest.mark.parametrize(
    ("number", "edition"),
    [pytest.param(number, edition, id=f"{number}-{name}") for number, name, edition in EDITIONS],
)
def test_an_edition_made_bad_is_caught_by_its_check_alone(number: int, edition: Edition) -> None:
    assert set(find_trouble(make(edition))) == {number}


def test_a_title_that_is_not_set_apart() -> None:
    mail = make(replace(EDITION, briefs=(replace(BRIEF, title=HEBREW),)))
    assert find_trouble(mail) == {}
    bare = change(mail, source=mail.source.replace(' dir="auto"', ""))
    assert set(find_trouble(bare)) == {27}
    lost = change(mail, source=re.sub(r'<h2 dir="auto"(.*?)<a ', r"<h2\1<a ", mail.source))
    assert set(find_trouble(lost)) == {27}


@pytest.mark.parametrize("language", ["en", "he"])
def test_every_copy_sets_titles_apart(language: str) -> None:
    edition = replace(EDITION, briefs=(replace(BRIEF, title=HEBREW), BRIEF))
    publication = PUBLICATION.model_copy(update={"language": language})
    compiled = compile_edition(
        edition,
        publication=publication,
        vocabulary=Vocabulary(),
        templates=find_templates(),
        settings=EditionSettings(),
    )
    copies = read_copies(edition, compiled, publication=publication, vocabulary=Vocabulary())
    assert len(copies) > 1
    for reader, mail in copies.items():
        assert find_trouble(mail) == {}, reader


def test_a_mail_without_disclosure_or_caveat() -> None:
    assert set(find_trouble(make(vocabulary=Vocabulary(disclosure="")))) == {32}
    assert set(find_trouble(make(vocabulary=Vocabulary(disclosure="Made with AI.")))) == {32}
    trouble = find_trouble(make(vocabulary=Vocabulary(lenses=())))
    assert set(trouble) == {33}
    assert trouble[33].detail == "'Adversary View' has no caveat in vocabulary.lenses"


@pytest.mark.parametrize("name", ["analysis.mjml.j2", "analysis.txt.j2"])
def test_a_caveat_beside_its_block(tmp_path: Path, name: str) -> None:
    shipped = find_templates().find(f"partials/{name}").read_text()
    caveat = re.search(r"{% if lens.caveat %}.*?{% endif %}", shipped, re.DOTALL)
    assert caveat
    own = shipped.replace(caveat[0], "")
    end = own.index("{% endcall %}", own.index("block(lens.key)")) + len("{% endcall %}")
    (tmp_path / "partials").mkdir()
    (tmp_path / "partials" / name).write_text(f"{own[:end]}{caveat[0]}{own[end:]}")
    assert set(find_trouble(make(own=tmp_path))) == {33}


def test_a_masthead_that_promises_something_else() -> None:
    mail = make()
    words = mail.selection.counts["word_count"]
    assert f"{words} words" in mail.source

    def tell(**counts: int) -> Mail:
        selection = replace(mail.selection, counts={**mail.selection.counts, **counts})
        texts = (text.replace(f"{words} words", "900 words") for text in (mail.source, mail.plain))
        source, plain = texts
        return change(mail, selection=selection, source=source, plain=plain)

    promised = find_trouble(tell(word_count=900, minutes=4))
    assert set(promised) == {37}
    assert "promises 900 words" in promised[37].detail
    assert "900 words are not 1 min" in find_trouble(tell(word_count=900))[37].detail
    assert "does not say it" in find_trouble(tell())[37].detail
    late = replace(tell(word_count=900, minutes=4), minutes=1)
    assert "takes 4 min, and the reader asked for 1" in find_trouble(late)[37].detail


def test_a_web_page_that_leaves_something_out_or_tells_too_much() -> None:
    edition = replace(
        EDITION,
        briefs=tuple(replace(brief, picture=PICTURE) for brief in EDITION.briefs),
        note=Note(text="Good morning.", by="Ada Example"),
        sponsor=Sponsor(name="Coffee", text="Roasted here.", url="https://coffee.example/"),
        corrections=(Correction(text="It was five.", link="https://news.example/port"),),
    )
    mail = make(edition)
    page = build_page(edition)
    unsubscribe = mail.values["unsubscribe_url"]
    assert find_trouble(change(mail, web=page, picture_hosts=HOSTS)) == {}
    for old, new, detail in (
        ("Routes depend on it.", "", "'Routes depend on it.' is missing in the web page"),
        ("Good morning.", "", "'Good morning.' is missing in the web page"),
        ("Ada Example", "", "'Ada Example' is missing in the web page"),
        ("Roasted here.", "", "'Roasted here.' is missing in the web page"),
        ("It was five.", "", "'It was five.' is missing in the web page"),
        (f'alt="{PICTURE.alt}"', 'alt=""', f"'{PICTURE.alt}' is missing in the web page"),
        (PICTURE.caption, "", f"'{PICTURE.caption}' is missing in the web page"),
        ('<p dir="auto">Routes', "<p hidden>Routes", "'Routes depend on it.' is missing"),
        ("https://post.example/1", "https://post.example/2", "link https://post"),
        ("https://coffee.example/", "https://tea.example/", "link https://coffee.example/ is"),
        ('href="https://news.example/port"', 'href="/"', "link https://news.example/port is"),
        ("</main>", f'<a href="{unsubscribe}">x</a></main>', "own unsubscribe_url stands in"),
    ):
        assert old in page, old
        trouble = find_trouble(change(mail, web=page.replace(old, new), picture_hosts=HOSTS))
        assert set(trouble) == {26}, old
        assert detail in trouble[26].detail


def build_page(edition: Edition) -> str:
    files = build_pages(
        publication=PUBLICATION,
        vocabulary=Vocabulary(),
        templates=find_templates(),
        picture_hosts=HOSTS,
        editions=[Published(edition=edition, published_at=edition.window.cut_off)],
    )
    return files[file_of(edition_path(edition.date))].decode()


def test_a_headline_that_looks_like_a_template_is_no_fault() -> None:
    hostile = "{{ 7 * 7 }} {% if x %} <b>]]> & {{config}}"
    mail = make(replace(EDITION, briefs=(replace(BRIEF, title=hostile),)))
    assert find_trouble(mail) == {}


LOGO = '<img alt="Ledger" src="https://pictures.example/dark.png" style="display:none" width="90">'


def test_the_publications_own_pictures_may_be_loaded_and_hidden() -> None:
    mail = at_the_end(LOGO)(make())
    assert set(find_trouble(mail)) == {28, 29}
    assert find_trouble(replace(mail, picture_hosts=frozenset({"pictures.example"}))) == {}
    pixel = at_the_end(LOGO.replace('width="90"', 'width="1" height="1"'))(make())
    assert set(find_trouble(replace(pixel, picture_hosts=mail.picture_hosts))) == {28, 29}
    own = replace(pixel, picture_hosts=frozenset({"pictures.example"}))
    assert set(find_trouble(own)) == {29}


def test_a_logo_may_be_the_name() -> None:
    mail = make()
    name = re.search(r"<h1[^>]*>(Morning Ledger)</h1>", mail.source)
    assert name
    logo = name[0].replace(name[1], '<img alt="Morning Ledger" width="90" height="20">')
    assert find_trouble(change(mail, source=mail.source.replace(name[0], logo))) == {}
    silent = logo.replace('alt="Morning Ledger"', 'alt=""')
    assert set(find_trouble(change(mail, source=mail.source.replace(name[0], silent)))) == {4}


def test_every_check_has_a_mutation() -> None:
    elsewhere = {27, 32, 33, 37}
    asked = {38}  # test_cli_check asks real servers
    tried = {number for number, *_ in MUTATIONS} | {number for number, *_ in EDITIONS}
    assert {number for number, *_ in CHECKS} == tried | elsewhere | asked


def test_an_address_that_only_begins_like_the_sources_is_another() -> None:
    mail = make()
    other = mail.plain.replace("https://post.example/1\n", "https://post.example/12\n")
    detail = find_trouble(change(mail, plain=other))[25].detail
    assert "the link https://post.example/1 is missing" in detail
