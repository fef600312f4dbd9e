"""What a compiled edition holds, whatever the briefs say and whatever a reader chooses."""

import re
from datetime import UTC, date, datetime
from typing import Any

import html5lib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import html as lxml_html
from mjml import mjml2html
from premailer import Premailer

from newsletter.briefs.model import Brief, Perspective, Point, Source
from newsletter.editions.model import Edition, Window
from newsletter.errors import InputError
from newsletter.render import inline, markers, markup
from newsletter.render.columns import count_columns
from newsletter.render.compile import MAX_HTML_BYTES, Compilation, compile_edition
from newsletter.render.compiled import Begin, CompiledEdition, End, Part, Slot
from newsletter.render.context import clean_line, clean_paragraphs, clean_url, text_direction
from newsletter.render.markers import derive_prefix
from newsletter.render.preview import decode_part
from newsletter.render.templates import find_templates
from newsletter.settings import Publication, Vocabulary

PUBLICATION = Publication(
    name="Morning Ledger",
    sender="Ledger <ledger@news.example>",
    list_id="daily.news.example",
    url="https://news.example",
    postal_address="1 Example Street, Springfield",
)
VALUES = {
    "email": "ada@reader.example",
    "unsubscribe_url": "https://news.example/u?t=a&b='c'",
    "preferences_url": "https://news.example/p/token",
    "web_url": "https://news.example/e/2026-11-23",
    "brief_count": "3",
    "word_count": "812",
    "minutes": "4",
}


def full_brief(n: int = 0, *, words: int = 20) -> Brief:
    lenses = ("Household Impact", "Institutional View", "Adversary View")
    return Brief(
        title=f"Harbor city approves port number {n}",
        summary=f"The council voted on berth {n}." + " The vote was close." * (words // 4),
        why_it_matters=f"A port that cannot take ships loses route {n}.",
        quick_take=(
            Point(label="Money Angle", text=f"Bonds carry part {n} of the cost."),
            Point(label="Who Loses", text=f"Smaller ports on coast {n}."),
        ),
        perspectives=(
            *(Perspective(lens=lens, text=f"{lens} says {n} of it.") for lens in lenses),
            Perspective(
                lens="Civil Liberties View", text="No direct civil-liberties issue is implicated."
            ),
        ),
        sources=(Source(name=f"post{n}.example", url=f"https://post{n}.example/s?a={n}&b=2"),),
        topics=("Economy",),
        link=f"https://news.example/news/article/rss:{n:x}f/it's-a:slug",
    )


PLAIN_BRIEF = Brief(
    title="東京湾の新しい水素フェリーが就航",
    summary="初日の便はすべて満席だった。\n\n料金は大人二千円。",
    sources=(Source(name="minato.example"),),
)


def edition(*briefs: Brief, left_out: int = 0) -> Edition:
    return Edition(
        date=date(2026, 11, 23),
        window=Window(
            start=datetime(2026, 11, 22, tzinfo=UTC), cut_off=datetime(2026, 11, 23, tzinfo=UTC)
        ),
        subject="Harbor vote, river gauges",
        preheader="Also today: seed prices, and night trains return",
        briefs=briefs,
        left_out=left_out,
    )


def compile_it(edition: Edition, **publication: Any) -> Compilation:
    return compile_edition(
        edition,
        publication=PUBLICATION.model_copy(update=publication),
        vocabulary=Vocabulary(),
        templates=find_templates(),
    )


@pytest.fixture(scope="module")
def compiled() -> CompiledEdition:
    return compile_it(edition(full_brief(1), PLAIN_BRIEF, full_brief(2), left_out=4)).compiled


def keys(part: Part) -> list[str]:
    return [piece.key for piece in part.pieces if isinstance(piece, Begin)]


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


def visible(html: str) -> str:
    return squeeze("".join(parse(html).itertext()))


# -- compiling ---------------------------------------------------------------------------------


def test_the_same_edition_gives_the_same_bytes(compiled: CompiledEdition) -> None:
    again = compile_it(edition(full_brief(1), PLAIN_BRIEF, full_brief(2), left_out=4)).compiled
    assert again.dump() == compiled.dump()


def test_mjml_and_premailer_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[str] = []

    def count(name: str, real: Any) -> Any:
        def counted(*args: Any, **kwargs: Any) -> Any:
            runs.append(name)
            return real(*args, **kwargs)

        return counted

    monkeypatch.setattr(markup, "mjml2html", count("mjml", mjml2html))
    monkeypatch.setattr(inline, "Premailer", count("premailer", Premailer))
    compile_it(edition(*map(full_brief, range(15))))
    assert runs == ["mjml", "premailer"]


def test_pieces_are_in_wire_form(compiled: CompiledEdition) -> None:
    for part in (compiled.html, compiled.plain):
        for piece in part.pieces:
            if isinstance(piece, bytes):
                assert piece.endswith(b"\r\n")
                assert all(len(line) <= 76 for line in piece.split(b"\r\n"))
        assert isinstance(part.pieces[-1], bytes)
        assert not part.pieces[-1].endswith(b"=\r\n")


def test_the_doctype_and_the_conditional_comments_survive(compiled: CompiledEdition) -> None:
    html = decode_part(compiled.html, VALUES)
    assert html.startswith("<!doctype html><html")
    opened = len(re.findall(r"<!--\[if [^]]*\]>", html))
    assert opened == html.count("<![endif]-->") > 4
    assert "!important" in html
    assert "[data-ogsc]" in html


# -- slots and blocks --------------------------------------------------------------------------


def test_slots_are_filled_in_text_and_in_links(compiled: CompiledEdition) -> None:
    html = parse(decode_part(compiled.html, VALUES))
    links = {a.text_content().strip(): a.get("href") for a in html.xpath("//a")}
    assert links["Unsubscribe"] == VALUES["unsubscribe_url"]
    assert links["4 more on the web"] == VALUES["web_url"]
    assert links["Harbor city approves port number 2"].endswith("/rss:2f/it's-a:slug")
    assert html.xpath("//ol//a")[1].get("href") == VALUES["web_url"] + "#brief-2"
    assert "3 briefs · 4 min · 812 words" in html.text_content()
    assert "ada@reader.example" in html.text_content()
    plain = decode_part(compiled.plain, VALUES)
    assert f"Unsubscribe: {VALUES['unsubscribe_url']}\n" in plain  # nothing is escaped here


def test_a_hostile_value_is_text(compiled: CompiledEdition) -> None:
    values = VALUES | {"email": "<script>alert(1)</script>", "web_url": '"><script>'}
    html = decode_part(compiled.html, values)
    assert not parse(html).xpath("//script")
    assert parse_errors(html) == []


def test_blocks_cover_what_a_reader_may_choose(compiled: CompiledEdition) -> None:
    for part in (compiled.html, compiled.plain):
        found = keys(part)
        for n in range(3):
            assert found.count(f"brief:{n}") == 2  # its line in the contents, and itself
        for lens in ("Household Impact", "Adversary View", "Civil Liberties View"):
            assert found.count(f"lens:2:{lens}") == 1
        assert not [key for key in found if key.startswith(("lens:1:", "perspectives:1"))]


def test_a_reader_without_a_brief_or_a_lens_does_not_see_it(compiled: CompiledEdition) -> None:
    unwanted = {"brief:0", "lens:2:Institutional View"}
    for part in (compiled.html, compiled.plain):
        text = decode_part(part, VALUES, lambda key: key not in unwanted)
        assert "number 1" not in text
        assert "Institutional View says 2" not in text
        assert "Adversary View says 2" in squeeze(text).replace("Viewsays2", " View says 2")


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_every_selection_is_valid_html(compiled: CompiledEdition, data: st.DataObject) -> None:
    unwanted = data.draw(st.sets(st.sampled_from(sorted(set(keys(compiled.html))))))
    html = decode_part(compiled.html, VALUES, lambda key: key not in unwanted)
    assert parse_errors(html) == []
    shown = len(parse(html).xpath("//h2")) - 1  # "In this edition" is the other one
    assert shown == 3 - len([key for key in unwanted if key.startswith("brief:")])


def test_blocks_nest(compiled: CompiledEdition) -> None:
    for part in (compiled.html, compiled.plain):
        stack: list[str] = []
        for piece in part.pieces:
            if isinstance(piece, Begin):
                stack.append(piece.key)
            elif isinstance(piece, End):
                assert stack.pop() == piece.key
            if isinstance(piece, Begin) and piece.key.startswith("lens:2:"):
                assert "brief:2" in stack
        assert stack == []


def test_words_are_counted_by_block() -> None:
    words = compile_it(edition(full_brief(1, words=0), PLAIN_BRIEF)).compiled.words
    assert words["brief:0"] == 6 + 6 + 9 + (2 + 7) + (2 + 5)
    assert words["lens:0:Household Impact"] == 2 + 6
    assert words["lens:0:Adversary View"] == 2 + 6 + 13  # the caveat is read as well
    assert words["lens:0:Civil Liberties View"] == 2
    assert words["brief:1"] == 8 + 7 + 4
    assert words[""] == 0


# -- content -----------------------------------------------------------------------------------


def facts(brief: Brief) -> list[str]:
    return [
        brief.title,
        *brief.summary.split("\n\n"),
        brief.why_it_matters,
        *(text for point in brief.quick_take for text in (point.label, point.text)),
        *(text for p in brief.perspectives[:3] for text in (p.lens, p.text)),
        *(source.name for source in brief.sources),
    ]


def test_html_and_text_carry_the_same_facts(compiled: CompiledEdition) -> None:
    html, plain = (decode_part(part, VALUES) for part in (compiled.html, compiled.plain))
    for brief in (full_brief(1), PLAIN_BRIEF, full_brief(2)):
        for fact in filter(None, facts(brief)):
            assert squeeze(fact) in visible(html)
            assert squeeze(fact) in squeeze(plain)
    for link in parse(html).xpath("//a/@href"):
        assert str(link) in plain or str(link).startswith(VALUES["web_url"] + "#")
    for line in plain.split("\n"):
        assert count_columns(line) <= 78 or "https://" in line


def test_lenses_with_nothing_to_say_collapse(compiled: CompiledEdition) -> None:
    for part in (compiled.html, compiled.plain):
        text = " ".join("".join(parse(decode_part(part, VALUES)).itertext()).split())
        assert text.count("Not centrally implicated: Civil Liberties.") == 2
        assert "No direct civil-liberties" not in text


def test_the_caveat_stands_in_the_lens_block(compiled: CompiledEdition) -> None:
    for part in (compiled.html, compiled.plain):
        text = decode_part(part, VALUES, lambda key: key != "lens:2:Adversary View")
        caveat = squeeze("does not reflect the views of the publication")
        assert squeeze(text).count(caveat) == 1  # that of the other brief


def test_analysis_stands_apart_from_facts_and_is_labelled() -> None:
    html = decode_part(compile_it(edition(full_brief())).compiled.html, VALUES)
    facts_end = html.index("The vote was close.")
    assert facts_end < html.index("AI-assisted analysis") < html.index("Why this matters")
    assert html.count("AI-assisted perspectives, not fact") == 1
    assert "AI-assisted analysis" not in decode_part(
        compile_it(edition(PLAIN_BRIEF)).compiled.html, VALUES
    )


def test_the_disclosure_names_all_sources_and_stands_only_with_analysis() -> None:
    for part in (
        (compiled := compile_it(edition(full_brief(1), PLAIN_BRIEF)).compiled).html,
        compiled.plain,
    ):
        assert squeeze("reporting from post1.example and minato.example. See our") in squeeze(
            "".join(parse(decode_part(part, VALUES)).itertext())
        )
    plain_only = compile_it(edition(PLAIN_BRIEF)).compiled
    assert "AI-assisted" not in decode_part(plain_only.html, VALUES)
    assert "AI-assisted" not in decode_part(plain_only.plain, VALUES)


def test_a_quiet_day_is_said(compiled: CompiledEdition) -> None:
    quiet = compile_it(edition()).compiled
    assert "A quiet day" in decode_part(quiet.html, VALUES)
    assert "A QUIET DAY" in decode_part(quiet.plain, VALUES)
    assert parse_errors(decode_part(quiet.html, VALUES)) == []
    assert "quiet day" not in decode_part(compiled.html, VALUES)


def test_right_to_left_editions_are_mirrored_and_titles_isolated() -> None:
    html = parse(
        decode_part(compile_it(edition(full_brief()), language="ar").compiled.html, VALUES)
    )
    wrapper = html.xpath("//body/*[@role='article']")[0]
    assert (html.get("lang"), html.get("dir")) == ("ar", "rtl")
    assert (wrapper.get("lang"), wrapper.get("dir")) == ("ar", "rtl")
    assert "border-right:3px" in html.xpath("//td[contains(@class, 'box')]/@style")[0]
    assert {h.get("dir") for h in html.xpath("//h1|//h2")} == {"auto"}


@pytest.mark.parametrize(
    ("language", "direction"),
    [
        ("en", "ltr"),
        ("he", "rtl"),
        ("ar-EG", "rtl"),
        ("FA", "rtl"),
        ("ur", "rtl"),
        ("az-Arab", "rtl"),
        ("ur-Latn", "ltr"),
    ],
)
def test_direction_of_a_language(language: str, direction: str) -> None:
    assert text_direction(language) == direction


# -- size --------------------------------------------------------------------------------------


def test_twenty_full_briefs_fit() -> None:
    printed = compile_it(edition(*(full_brief(n, words=120) for n in range(20)))).edition
    assert (len(printed.briefs), printed.left_out) == (20, 0)


def test_what_does_not_fit_is_left_out_from_the_end_and_counted() -> None:
    briefs = [full_brief(n, words=700) for n in range(40)]
    compiled, printed = compile_it(edition(*briefs, left_out=2))
    assert printed.briefs == tuple(briefs[: len(printed.briefs)])
    assert 10 < len(printed.briefs) < 40
    assert len(printed.briefs) + printed.left_out == 42
    values = dict.fromkeys(VALUES, "https://news.example/" + "x" * 100)
    html = decode_part(compiled.html, values)
    assert len(html.encode()) <= MAX_HTML_BYTES
    assert f"{printed.left_out} more on the web" in html
    assert f"{printed.left_out} more on the web" in decode_part(compiled.plain, values)
    assert parse_errors(html) == []


def test_a_brief_too_large_for_any_mail_is_named() -> None:
    with pytest.raises(InputError, match="'Harbor city approves port number 0' alone makes 1"):
        compile_it(edition(full_brief(0, words=24_000), full_brief(1)))


# -- hostile text ------------------------------------------------------------------------------

EVIL = (
    "<script>alert(1)</script> {{7*7}} {% x %} ]]> --> <!-- \"q\" 's' &lt; &amp; \u202eabc\u202c "
    "</td></table> \x00\x02f:9\x03 \ud800 NL0123456789ABCDEFB0E\r\nBcc: x@y.example"
)
HOSTILE = st.one_of(
    st.just(EVIL),
    st.text(st.characters(codec=None), max_size=40),
    st.lists(
        st.sampled_from(
            [
                "<",
                ">",
                "&",
                '"',
                "'",
                "{{",
                "}}",
                "]]>",
                "<!--",
                "-->",
                "\x00",
                "\r\n",
                "\n\n",
                "a",
                "mj-text",
                "/",
                "\u2066",
            ]
        ),
        max_size=12,
    ).map("".join),
)


@st.composite
def hostile_briefs(draw: st.DrawFn) -> Brief:
    text = HOSTILE
    return Brief(
        title=draw(text) + "t",
        summary=draw(text) + "s",
        why_it_matters=draw(text),
        quick_take=(Point(label=draw(text), text=draw(text)),),
        perspectives=(Perspective(lens=draw(text), text=draw(text)),),
        sources=(
            Source(name=draw(text), url=draw(text)),
            Source(name="b", url="https://b.example/" + draw(text)),
        ),
        topics=(draw(text),),
        link=draw(st.sampled_from(["javascript:alert(1)", "https://x.example/'\" onload='x"])),
    )


@settings(max_examples=40, deadline=None)
@given(hostile_briefs(), HOSTILE)
def test_hostile_text_is_inert_in_every_field(brief: Brief, text: str) -> None:
    hostile = edition(brief, PLAIN_BRIEF)
    compiled = compile_it(
        Edition(
            date=hostile.date,
            window=hostile.window,
            subject=text,
            preheader=text,
            briefs=hostile.briefs,
        ),
        name=text + "n",
        postal_address=text,
    ).compiled
    html, plain = (decode_part(part, VALUES) for part in (compiled.html, compiled.plain))
    assert parse_errors(html) == []
    tree = parse(html)
    assert not tree.xpath("//script|//iframe|//img|//*[starts-with(name(@*), 'on')]")
    titles = [squeeze(h.text_content()) for h in tree.xpath("//h2")]
    assert titles == [
        squeeze(t) for t in ("In this edition", clean_line(brief.title), PLAIN_BRIEF.title)
    ]
    assert squeeze(tree.findtext(".//title") or "") == squeeze(clean_line(text))
    for href in tree.xpath("//a/@href"):
        assert re.match(r"https://[a-z.]+[/?#]", str(href) + "/")
    for paragraph in clean_paragraphs(brief.summary):
        assert squeeze(paragraph) in visible(html)
        assert squeeze(paragraph) in squeeze(plain)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", html + plain)
    assert [s for s in compiled.html.pieces if isinstance(s, Slot)]


def test_no_brief_can_imitate_a_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    assert re.fullmatch(r"NL[0-9A-F]{16}", derive_prefix("content"))
    assert derive_prefix("content") == derive_prefix("content") != derive_prefix("other")

    class Digest:
        """Hash to the number of the attempt."""

        def __init__(self, data: bytes) -> None:
            self.attempt = int(data.partition(b":")[0])

        def hexdigest(self) -> str:
            return f"{self.attempt:064d}"[::-1]

    monkeypatch.setattr(markers, "sha256", Digest)
    taken = "it says NL0000000000000000B0E and nl1000000000000000"
    assert derive_prefix(taken) == "NL2000000000000000"


@pytest.mark.parametrize(
    ("url", "cleaned"),
    [
        ("https://x.example/news/rss:ab/it's-a:slug", "https://x.example/news/rss:ab/it's-a:slug"),
        ("HTTPS://X.example:8443/a?b=1&c=%20#d", "https://x.example:8443/a?b=1&c=%20#d"),
        ("https://münchen.example/ä b", "https://xn--mnchen-3ya.example/%C3%A4%20b"),
        ('https://x.example/"><script>{{7}}', "https://x.example/%22%3E%3Cscript%3E%7B%7B7%7D%7D"),
        ("https://user:secret@x.example/", "https://x.example/"),
        ("http://[2001:db8::1]/", "http://[2001:db8::1]/"),
        ("javascript:alert(1)", ""),
        ("//x.example/a", ""),
        ("https:///a", ""),
        ("https://x.example:port/", ""),
        ("https://[::1", ""),
        ("https://a b/", ""),
        ("", ""),
    ],
)
def test_addresses(url: str, cleaned: str) -> None:
    assert clean_url(url) == cleaned
