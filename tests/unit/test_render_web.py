"""The pages of the web copy: what they say, where they stand, and that nothing in them acts."""

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import html5lib
import pytest
from hypothesis import given, settings
from lxml import html as lxml_html

from newsletter.briefs.model import Brief, Perspective, Point, Source
from newsletter.editions.model import Edition, Window
from newsletter.errors import TemplateError
from newsletter.render.compile import compile_edition
from newsletter.render.context import Context, PictureView, clean_line
from newsletter.render.facts import (
    Fact,
    count_edition_words,
    find_facts,
    find_facts_on_page,
    list_facts,
    read_text,
)
from newsletter.render.preview import decode_part
from newsletter.render.selection import Selector
from newsletter.render.templates import TemplateSet, find_templates
from newsletter.render.web import (
    ApprovalView,
    CorrectedView,
    FeedLink,
    Listed,
    MonthView,
    PageLink,
    PageView,
    Published,
    Site,
    build_archive,
    build_content,
    build_edition,
    open_site,
)
from newsletter.settings import EditionSettings, LensSettings, Publication, Vocabulary
from tests.demo_edition import print_demo
from tests.examples import examples
from tests.unit.test_render_compile import EVIL, HOSTILE, hostile_briefs

DAY = date(2026, 11, 23)
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
PUBLICATION = Publication(
    name="Morning Ledger",
    sender="Ledger <ledger@news.example>",
    list_id="daily.news.example",
    url="https://news.example",
    postal_address="1 Example Street",
)
BRIEF = Brief(
    title="Harbor city approves port",
    summary="The council voted on a berth.\n\nThe first ships are expected in spring.",
    why_it_matters="Routes depend on it.",
    quick_take=(Point(label="Who Loses", text="Smaller ports."),),
    perspectives=(
        Perspective(lens="Civil Liberties View", text="No civil-liberties issue is implicated."),
        Perspective(lens="Adversary View", text="They may call it a subsidy."),
    ),
    sources=(Source(name="post.example", url="https://post.example/1"),),
    topics=("Economy",),
    link="https://www.news.example/own/1",
)
PLAIN = Brief(title="Night trains return", summary="To the coast.", sources=(Source(name="b"),))
EDITION = Edition(
    date=DAY,
    window=Window(
        start=datetime(2026, 11, 22, tzinfo=UTC), cut_off=datetime(2026, 11, 23, tzinfo=UTC)
    ),
    subject="Harbor vote",
    preheader="Also today: night trains return to the coast",
    briefs=(BRIEF, PLAIN),
)
PUBLISHED = Published(edition=EDITION, published_at=NOON)
TOP = "editions/2026-11-23"


def site(own: Path | None = None, **publication: Any) -> Site:
    return open_site(
        publication=PUBLICATION.model_copy(update=publication),
        vocabulary=Vocabulary(),
        templates=find_templates(own),
    )


def pages(published: Published = PUBLISHED, **publication: Any) -> dict[str, str]:
    files = build_edition(site(**publication), published)
    return {name.removesuffix("/index.html"): data.decode() for name, data in files.items()}


def archive(listed: tuple[Listed, ...], **publication: Any) -> str:
    own = site(**publication)
    (data,) = build_archive(own, own.see(EDITION), listed).values()
    return data.decode()


def tree(html: str) -> lxml_html.HtmlElement:
    parser = lxml_html.HTMLParser(encoding="utf-8")
    return lxml_html.document_fromstring(html.encode(), parser=parser)


def headings(html: str) -> list[tuple[int, str]]:
    found = tree(html).xpath("//h1|//h2|//h3|//h4")
    return [(int(h.tag[1]), " ".join(h.text_content().split())) for h in found]


def parse_errors(html: str) -> list[Any]:
    parser = html5lib.HTMLParser()
    parser.parse(html)
    return list(parser.errors)


# -- addresses and files ---------------------------------------------------------------------------


def test_every_page_is_the_index_of_its_address() -> None:
    assert sorted(build_edition(site(), PUBLISHED)) == [
        f"{TOP}/briefs/1/index.html",
        f"{TOP}/briefs/2/index.html",
        f"{TOP}/index.html",
    ]


def test_the_mail_links_to_the_page_and_to_its_briefs() -> None:
    compiled = compile_edition(
        EDITION,
        publication=PUBLICATION,
        vocabulary=Vocabulary(),
        templates=find_templates(),
        settings=EditionSettings(),
    )
    everything = Selector(compiled).select_everything()
    url = "https://news.example/editions/2026-11-23"
    mail = tree(decode_part(compiled.html, {"web_url": url}, everything))
    page = tree(pages()[TOP])
    assert page.xpath("string(//link[@rel='canonical']/@href)") == url
    anchors = {href.partition("#")[2] for href in mail.xpath("//a/@href") if f"{url}#" in href}
    assert anchors == {"brief-1", "brief-2"}
    assert anchors <= set(page.xpath("//article/@id"))


def test_a_corrected_title_moves_no_page() -> None:
    corrected = replace(EDITION, briefs=(replace(BRIEF, title="Another title"), PLAIN))
    assert set(pages()) == set(pages(replace(PUBLISHED, edition=corrected)))


def test_links_between_pages_are_paths_from_the_root() -> None:
    published = replace(PUBLISHED, previous=Listed(date=date(2026, 11, 22), title="Before"))
    for url, root in (("https://news.example", ""), ("https://x.example/brief", "/brief")):
        page = tree(pages(published, url=url)[TOP])
        links = [h for h in page.xpath("//a/@href") if not re.match(r"#|https://", h)]
        assert f"{root}/editions/2026-11-22" in links
        assert f"{root}/editions/2026-11-23/briefs/1" in links
        assert all(link.startswith(f"{root}/editions") for link in links)
        assert page.xpath("//link[@rel='canonical']/@href") == [f"{url}/editions/2026-11-23"]


def test_the_same_edition_gives_the_same_bytes() -> None:
    assert build_edition(site(), PUBLISHED) == build_edition(site(), PUBLISHED)


# -- what they say ---------------------------------------------------------------------------------


def test_mail_text_and_pages_of_the_demo_say_the_same(tmp_path: Path) -> None:
    demo, printed = print_demo(tmp_path / "demo")
    own = open_site(
        publication=demo.publication, vocabulary=demo.vocabulary, templates=find_templates()
    )
    context = own.see(printed.edition)
    facts = list_facts(context)
    assert len(facts) > 150
    published = Published(edition=printed.edition, published_at=NOON)
    files = {name: data.decode() for name, data in build_edition(own, published).items()}
    whole = files[f"{TOP}/index.html"]
    alone = [html for name, html in files.items() if "/briefs/" in name]
    assert len(alone) == len(printed.edition.briefs) == 12

    everything = Selector(printed.compiled).select_everything()
    mail = decode_part(printed.compiled.html, {}, everything)
    assert find_facts(facts, read_text(mail)) == facts
    assert find_facts(facts, decode_part(printed.compiled.plain, {}, everything)) == facts
    assert find_facts_on_page(facts, whole) == facts
    assert frozenset.union(*(find_facts_on_page(facts, html) for html in alone)) == facts
    feed = build_content(own, published)
    assert find_facts(facts, read_text(feed)) == facts
    for html in (mail, whole, feed):
        assert context.edition.disclosure in " ".join(read_text(html).split())
    links = {str(source.url) for b in context.edition.briefs for source in b.sources if source.url}
    links |= {b.link for b in context.edition.briefs if b.link}
    assert links <= set(tree(whole).xpath("//a/@href"))
    # The label of what is no fact stands in every brief that has such, and in no other.
    for brief, html in zip(context.edition.briefs, alone, strict=True):
        assert ("AI-assisted analysis" in html) is brief.has_analysis


def test_what_is_missing_is_noticed() -> None:
    facts = list_facts(site().see(EDITION))
    whole = pages()[TOP]
    lost = whole.replace("They may call it a subsidy.", "")
    caveat = Vocabulary().lenses[-1].caveat
    assert find_facts_on_page(facts, whole) == facts >= {Fact(1, caveat)}
    assert facts - find_facts_on_page(facts, lost) == {Fact(1, "They may call it a subsidy.")}
    moved = whole.replace("To the coast.", "").replace("Routes depend", "To the coast. Routes")
    assert facts - find_facts_on_page(facts, moved) == {
        Fact(2, "To the coast."),
        Fact(1, "Routes depend on it."),
    }
    assert find_facts(facts, "nothing of it") == frozenset()
    hidden = "<html><head><title>To the coast.</title></head><body>a</body></html>"
    assert find_facts(facts, read_text(hidden)) == frozenset()


def test_headings_are_in_order_and_analysis_is_apart() -> None:
    whole, alone = pages()[TOP], pages()[f"{TOP}/briefs/1"]
    assert headings(whole)[:4] == [
        (1, "Morning Ledger Monday, November 23, 2026"),
        (2, "In this edition"),
        (2, "Harbor city approves port"),
        (3, "AI-assisted analysis"),
    ]
    assert headings(alone) == [
        (1, "Harbor city approves port"),
        (2, "AI-assisted analysis"),
        (3, "Why this matters"),
        (3, "Quick take"),
        (3, "Perspectives on this story"),
        (2, "How we know"),
    ]
    (box,) = tree(alone).xpath("//div[@class='analysis']")
    said = " ".join(box.text_content().split())
    assert "The council voted" not in said
    assert "AI-assisted perspectives, not fact" in said
    assert "They may call it a subsidy. Not presented as fact" in said  # one block
    assert "Not centrally implicated: Civil Liberties." in said


def test_counts_are_of_all_that_is_shown() -> None:
    words = count_edition_words(site().see(EDITION).edition.briefs)
    assert f"2 briefs · 1 min · {words} words" in " ".join(read_text(pages()[TOP]).split())
    one = replace(PUBLISHED, edition=replace(EDITION, briefs=(PLAIN,)))
    text = read_text(pages(one)[TOP])
    assert "1 brief ·" in text
    assert "In this edition" not in text


def test_a_brief_names_the_sources_of_its_own_disclosure() -> None:
    second = replace(BRIEF, sources=(Source(name="other.example"),))
    own = pages(replace(PUBLISHED, edition=replace(EDITION, briefs=(BRIEF, second))))
    footers = {
        name: " ".join(tree(html).xpath("string(//footer)").split()) for name, html in own.items()
    }
    assert "reporting from post.example and other.example." in footers[TOP]
    assert "reporting from other.example." in footers[f"{TOP}/briefs/2"]
    assert "disclosure" not in tree(pages()[f"{TOP}/briefs/2"]).xpath("string(//footer)").lower()


def test_neighbours() -> None:
    published = replace(
        PUBLISHED,
        previous=Listed(date=date(2026, 11, 20), title="Before <b>"),
        next=Listed(date=date(2026, 11, 25), title=""),
    )
    page = tree(pages(published)[TOP])
    (before,), (after,) = page.xpath("//a[@rel='prev']"), page.xpath("//a[@rel='next']")
    assert before.get("href") == "/editions/2026-11-20"
    assert " ".join(before.text_content().split()) == "Friday, November 20, 2026 Before <b>"
    assert after.text_content().split()[-3:] == ["November", "25,", "2026"]
    assert tree(pages()[TOP]).xpath("//a[@rel]") == []
    first, last = tree(pages()[f"{TOP}/briefs/1"]), tree(pages()[f"{TOP}/briefs/2"])
    assert first.xpath("//a[@rel]/@href") == ["/editions/2026-11-23/briefs/2"]
    assert last.xpath("//a[@rel]/@href") == ["/editions/2026-11-23/briefs/1"]


def test_an_own_page_is_linked_once_and_the_source_not_twice() -> None:
    first = tree(pages()[f"{TOP}/briefs/1"])
    (own,) = first.xpath("//a[@href='https://www.news.example/own/1']")
    assert own.text_content() == "This brief at news.example"
    fed = replace(BRIEF, link="https://post.example/1")
    page = tree(pages(replace(PUBLISHED, edition=replace(EDITION, briefs=(fed,))))[TOP])
    assert len(page.xpath("//a[@href='https://post.example/1']")) == 1


def test_a_quiet_day() -> None:
    quiet = replace(EDITION, briefs=(), subject="")
    own = pages(replace(PUBLISHED, edition=quiet))
    assert list(own) == [TOP]
    assert headings(own[TOP])[-1] == (2, "A quiet day")
    assert site().headline(quiet) == "Monday, November 23, 2026"


def test_a_subject_that_was_cut_for_mail_is_not_cut_here() -> None:
    cut = replace(EDITION, subject="Harbor city …")
    meta = tree(pages(replace(PUBLISHED, edition=cut))[TOP])
    assert meta.findtext(".//title") == "Harbor city approves port · Morning Ledger"
    assert site().headline(EDITION) == "Harbor vote"


def test_the_archive_lists_months_the_latest_first() -> None:
    days = (date(2026, 12, 1), DAY, date(2026, 11, 3), date(2025, 11, 3))
    listed = tuple(Listed(date=day, title=f"News of {day}") for day in days)
    page = archive(listed)
    assert headings(page) == [
        (1, "Morning Ledger All editions"),
        (2, "December 2026"),
        (2, "November 2026"),
        (2, "November 2025"),
    ]
    rows = [" ".join(row.text_content().split()) for row in tree(page).xpath("//main//li")]
    assert rows[1] == "Mon, Nov 23 News of 2026-11-23"
    assert len(rows) == 4
    assert parse_errors(page) == []


def test_what_is_shared_of_a_page() -> None:
    long = replace(BRIEF, summary="The council voted on a berth for deeper ships. " * 9)
    own = pages(replace(PUBLISHED, edition=replace(EDITION, briefs=(long,))))
    for name, title in ((TOP, "Harbor vote"), (f"{TOP}/briefs/1", BRIEF.title)):
        page = tree(own[name])
        meta = {m.get("property") or m.get("name"): m.get("content") for m in page.xpath("//meta")}
        assert meta["og:type"] == "article"
        assert meta["og:title"] == meta["twitter:title"] == title
        assert meta["og:site_name"] == "Morning Ledger"
        assert meta["og:url"] == page.xpath("string(//link[@rel='canonical']/@href)")
        assert meta["og:description"] == meta["description"] == meta["twitter:description"]
        assert meta["article:published_time"] == "2026-11-23T12:00:00Z"
        assert meta["twitter:card"] == "summary"
    assert meta["description"].endswith("deeper ships. The…")
    assert len(meta["description"]) <= 200
    feeds = page.xpath("//link[@rel='alternate']")
    assert [(f.get("type"), f.get("href")) for f in feeds] == [
        ("application/rss+xml", "/editions/feed.xml"),
        ("application/atom+xml", "/editions/atom.xml"),
        ("application/feed+json", "/editions/feed.json"),
    ]


# -- that they are valid, and do nothing -----------------------------------------------------------


def every_page(published: Published, **publication: Any) -> Iterator[str]:
    yield from pages(published, **publication).values()
    listed = (Listed(date=DAY, title=site().headline(published.edition)),)
    yield archive(listed, **publication)


def test_pages_are_valid_and_have_what_every_page_needs() -> None:
    for html in every_page(PUBLISHED):
        assert parse_errors(html) == []
        page = tree(html)
        assert html.startswith("<!doctype html>\n")
        assert (page.get("lang"), page.get("dir")) == ("en", "ltr")
        assert [h for h, _ in headings(html)].count(1) == 1
        assert page.xpath("string(//body/*[1]/@href)") == "#content"  # the skip link
        assert page.xpath("//main/@id") == ["content"]
        ids = page.xpath("//@id")
        assert len(ids) == len(set(ids))
        assert not page.xpath("//script|//@style|//link[@rel='stylesheet']|//img|//form")
        levels = [level for level, _ in headings(html)]
        assert all(after <= before + 1 for before, after in pairwise(levels))


def test_the_policy_allows_the_one_style_sheet_and_nothing_else() -> None:
    for html in every_page(PUBLISHED):
        page = tree(html)
        policy = page.xpath("string(//meta[@http-equiv='Content-Security-Policy']/@content)")
        style = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
        assert len(style) == 1
        assert policy == (
            f"default-src 'none'; style-src 'sha256-{digest}'; img-src 'self'; "
            "base-uri 'none'; form-action 'none'"
        )
        assert not re.search(r"url\(|@import|https?:", style[0])


@pytest.mark.parametrize("language", ["he", "ar-EG"])
def test_a_page_that_is_read_from_right_to_left(language: str) -> None:
    for html in every_page(PUBLISHED, language=language):
        assert (tree(html).get("lang"), tree(html).get("dir")) == (language, "rtl")
        style = html.partition("<style>")[2].partition("</style>")[0]
        sides = r"(margin|padding|border)-(left|right)|text-align: (left|right)|float:"
        assert not re.search(sides, style)
    titles = tree(pages(language=language)[TOP]).xpath("//h2[not(@id='contents')]")
    assert all(title.get("dir") == "auto" for title in titles)


CATALOGUE = """\
msgid ""
msgstr ""
"Content-Type: text/plain; charset=UTF-8\\n"
"Plural-Forms: nplurals=2; plural=(n != 1);\\n"

msgid "In this edition"
msgstr "In dieser Ausgabe"

msgid "All editions"
msgstr "Alle Ausgaben"

msgid "{n} brief"
msgid_plural "{n} briefs"
msgstr[0] "{n} Meldung"
msgstr[1] "{n} Meldungen"

msgid "Who Loses"
msgstr "Wer verliert"

msgid "Adversary View"
msgstr "Sicht der Gegenseite"
"""


def test_the_interface_speaks_the_publications_language(tmp_path: Path) -> None:
    (tmp_path / "locale").mkdir()
    (tmp_path / "locale/de.po").write_text(CATALOGUE)
    german = open_site(
        publication=PUBLICATION.model_copy(update={"language": "de-AT"}),
        vocabulary=Vocabulary(),
        templates=find_templates(tmp_path),
    )
    files = build_edition(german, PUBLISHED)
    html = files[f"{TOP}/index.html"].decode()
    text = " ".join(read_text(html).split())
    assert "Montag, 23. November 2026" in text
    assert "In dieser Ausgabe" in text
    assert "2 Meldungen ·" in text
    assert "Alle Ausgaben" in text
    context = german.see(EDITION)
    facts = list_facts(context, german.language)
    assert Fact(1, "Sicht der Gegenseite") in facts
    assert find_facts_on_page(facts, html) == facts
    (listing,) = build_archive(german, context, (Listed(date=DAY, title="Neues"),)).values()
    assert "November 2026" in listing.decode()
    assert "Mo., 23. Nov." in read_text(listing.decode())
    assert "In dieser Ausgabe" not in pages()[TOP]


def test_what_the_cap_on_briefs_left_out_is_not_hidden() -> None:
    for count, said in ((1, "1 more brief found no room"), (4, "4 more briefs found no room")):
        capped = replace(PUBLISHED, edition=replace(EDITION, left_out=count))
        assert said in read_text(pages(capped)[TOP])
    assert "found no room" not in pages()[TOP]


@settings(max_examples=examples(30), deadline=None)
@given(hostile_briefs(), HOSTILE)
def test_hostile_text_is_inert_in_every_field(brief: Brief, text: str) -> None:
    published = Published(
        edition=replace(EDITION, briefs=(brief, PLAIN), subject=text, preheader=text),
        published_at=NOON,
        previous=Listed(date=date(2026, 11, 22), title=text),
    )
    whole: dict[str, Any] = {"name": text + "n", "postal_address": text}
    facts = list_facts(site(**whole).see(published.edition))
    for html in every_page(published, **whole):
        check_inert(html)
    own = pages(published, **whole)
    assert find_facts_on_page(facts, own[TOP]) == facts
    heading = tree(own[f"{TOP}/briefs/1"]).xpath("string(//h1)")
    assert "".join(heading.split()) == "".join(clean_line(brief.title).split())


def check_inert(html: str) -> None:
    assert parse_errors(html) == []
    page = tree(html)
    assert not page.xpath("//script|//iframe|//img|//svg|//form|//base")
    assert not page.xpath("//@*[starts-with(name(), 'on')]")
    assert len(page.xpath("//style")) == len(page.xpath("//head")) == 1
    assert page.xpath("//meta[@http-equiv]/@http-equiv") == ["Content-Security-Policy"]
    for href in page.xpath("//@href"):
        assert re.match(r"https://[a-z.]+([/?#]|$)|/editions|#", str(href)), href
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", html)


def test_hostile_words_of_the_publication_are_inert_too() -> None:
    evil = clean_line(EVIL)
    vocabulary = Vocabulary(
        why_heading=evil,
        quick_take_heading=evil,
        perspectives_heading=evil,
        disclaimer=evil,
        disclosure=evil + " {sources}",
        lenses=(LensSettings(name="Adversary View", caveat=evil),),
    )
    own = open_site(publication=PUBLICATION, vocabulary=vocabulary, templates=find_templates())
    for data in build_edition(own, PUBLISHED).values():
        check_inert(data.decode())
        if "analysis" in tree(data.decode()).xpath("//div/@class"):
            assert data.decode().count("{{7*7}}") > 4


# -- operators' own templates ----------------------------------------------------------------------


def test_every_name_that_a_page_can_use_is_documented() -> None:
    head = find_templates().find("web/edition.html.j2").read_text().partition("#}")[0]
    names = {
        f.name
        for view in (PageView, PageLink, MonthView, CorrectedView, ApprovalView)
        for f in fields(view)
    }
    names |= {f.name for f in fields(Context)}
    heard = hear_variables()
    assert {"look", "page", "brief", "months", "story_url", "_", "ngettext", "host"} <= heard
    assert {n for n in names | heard if not re.search(rf"(?<!\w){n}\b", head)} == set()
    told = set(re.findall(r"(?<![\w\"'])\.([a-z_]+)\b", head.partition("and\n\n")[2]))
    views = (PageView, PageLink, MonthView, FeedLink, PictureView, CorrectedView, ApprovalView)
    assert told - {f for view in views for f in names_of(view)} - {"j2"} == set()


def names_of(view: Any) -> set[str]:
    return {*view._fields} if hasattr(view, "_fields") else {f.name for f in fields(view)}


def hear_variables() -> set[str]:
    """Hear what every template of the web copy is given."""
    heard: set[str] = set()
    render = TemplateSet.render

    def listen(self: TemplateSet, name: str, variables: Any, functions: Any, filters: Any) -> str:
        heard.update(variables, functions, filters)
        return render(self, name, variables, functions, filters)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TemplateSet, "render", listen)
        own = site()
        build_edition(own, PUBLISHED)
        build_archive(own, own.see(EDITION), (Listed(date=DAY, title="a"),))
        build_content(own, PUBLISHED)
    return heard


def test_an_operators_own_part_comes_first(tmp_path: Path) -> None:
    (tmp_path / "web/partials").mkdir(parents=True)
    (tmp_path / "web/partials/disclosure.html.j2").write_text("<p>Ours: {{ labels.why }}</p>\n")
    (tmp_path / "web/style.css.j2").write_text("p { color: teal }\n")
    data = build_edition(site(tmp_path), PUBLISHED)[f"{TOP}/index.html"].decode()
    assert "<p>Ours: Why this matters</p>" in data
    assert "<style>p { color: teal }\n</style>" in data
    assert "Harbor city approves port" in data


def test_a_fault_in_a_page_names_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web/brief.html.j2").write_text("<p>\n{{ brief.tilte }}</p>")
    with pytest.raises(TemplateError, match="tilte") as caught:
        build_edition(site(tmp_path), PUBLISHED)
    assert (caught.value.file, caught.value.line) == (str(tmp_path / "web/brief.html.j2"), 2)
    (tmp_path / "web/style.css.j2").write_text("p {}</style><script>")
    with pytest.raises(TemplateError, match="ends the <style>"):
        site(tmp_path)


def test_a_template_that_is_corrected_is_run_anew(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    own = tmp_path / "web/brief.html.j2"
    for said in ("one", "two"):
        own.write_text(said)
        data = build_edition(site(tmp_path), PUBLISHED)[f"{TOP}/briefs/1/index.html"]
        assert data.decode().startswith(said)
