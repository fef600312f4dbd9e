"""Each check of the preflight report can fail, and passes for the shipped templates."""

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from newsletter.briefs.model import Brief, Perspective, Point, Source
from newsletter.editions.model import Edition, Window
from newsletter.render.compile import compile_edition
from newsletter.render.compiled import CompiledEdition, Part
from newsletter.render.preflight import Finding, check_edition
from newsletter.render.templates import find_templates
from newsletter.render.wire import encode_text
from newsletter.settings import EditionSettings, Publication, Vocabulary

PUBLICATION = Publication(
    name="Morning Ledger",
    sender="Ledger <ledger@news.example>",
    list_id="daily.news.example",
    url="https://news.example",
)
BRIEF = Brief(
    title="Harbor city approves port",
    summary="The council voted on a berth.",
    why_it_matters="Routes depend on it.",
    quick_take=(Point(label="Who Loses", text="Smaller ports."),),
    perspectives=(
        Perspective(lens="Household Impact", text="Prices of imports may ease."),
        Perspective(lens="Adversary View", text="They may call it a subsidy."),
    ),
    sources=(Source(name="post.example", url="https://post.example/1"),),
)
EDITION = Edition(
    date=date(2026, 11, 23),
    window=Window(
        start=datetime(2026, 11, 22, tzinfo=UTC), cut_off=datetime(2026, 11, 23, tzinfo=UTC)
    ),
    subject="Harbor vote, river gauges",
    preheader="Also today: seed prices, and night trains return to the coast",
    briefs=(BRIEF, replace(BRIEF, title="Night trains return")),
)


def compile_it(edition: Edition = EDITION, own: Path | None = None) -> CompiledEdition:
    return compile_edition(
        edition,
        publication=PUBLICATION,
        vocabulary=Vocabulary(),
        templates=find_templates(own),
        settings=EditionSettings(),
    )


def check(compiled: CompiledEdition, edition: Edition = EDITION) -> dict[int, Finding]:
    findings = check_edition(edition, compiled, publication=PUBLICATION, vocabulary=Vocabulary())
    return {finding.number: finding for finding in findings}


def spoil(compiled: CompiledEdition, **pieces: bytes) -> CompiledEdition:
    """Put bytes ahead of what is mailed."""
    parts: Any = {
        kind: Part(kind=part.kind, pieces=(pieces[kind], *part.pieces))
        for kind, part in (("html", compiled.html), ("plain", compiled.plain))
        if kind in pieces
    }
    return replace(compiled, **parts)


def test_the_shipped_templates_pass_every_check() -> None:
    findings = check(compile_it())
    assert {number for number, f in findings.items() if f.status != "pass"} == {36, 38}
    assert findings[36].detail == "not a quiet day"
    assert set(findings) >= {1, 2, 3, 4, 5, 6, 11, 16, 17, 18, 24, 25, 26, 28, 29, 30, 31, 32, 33}
    assert findings[29].detail == "news.example, post.example"


def test_a_quiet_day_passes_too() -> None:
    quiet = replace(EDITION, briefs=())
    findings = check(compile_it(quiet), quiet)
    assert {f.status for f in findings.values()} == {"pass", "skip"}
    assert findings[32].status == findings[33].status == "skip"


HEAD = "<mjml lang='en' dir='ltr'><mj-head><mj-title>{{ edition.subject }}</mj-title></mj-head>"
ROW = "<mj-body><mj-section><mj-column><mj-text>%s</mj-text></mj-column></mj-section></mj-body>"


@pytest.mark.parametrize(
    ("number", "status", "rows", "detail"),
    [
        (4, "fail", "<h1>a</h1><h1>b</h1>", "2 headings of level 1"),
        (4, "fail", "<h1>a</h1><h3>b</h3>", "level 3 follows level 1"),
        (4, "fail", "<h1>a</h1><h2>b</h2>", "no heading for 'Harbor city approves port'"),
        (5, "fail", "<table><tr><td>a</td></tr></table>", "1 of 3 tables without role"),
        (11, "warn", "a", "no meta color-scheme"),
        (18, "fail", '<a href="https://news.example/">Read more…</a>', "a link says 'read more'"),
        (18, "fail", '<a href="https://news.example/"></a>', "a link says ''"),
        (24, "fail", "a", "not the first thing"),
        (26, "fail", "a", "'Harbor city approves port' is missing"),
        (29, "warn", '<a href="https://go.example/?u=1">a</a>', "a link to go.example"),
        (30, "fail", '<a href="javascript:a()" onclick="b()">a</a>', "onclick on <a>"),
        (32, "fail", "a", "missing in the HTML"),
        (33, "fail", "a", "lens:0:Adversary View in the html part has lost its caveat"),
    ],
)
def test_a_template_that_breaks_a_rule(
    tmp_path: Path, number: int, status: str, rows: str, detail: str
) -> None:
    (tmp_path / "digest.mjml.j2").write_text(f"{HEAD}{ROW % rows}</mjml>")
    finding = check(compile_it(own=tmp_path))[number]
    assert finding.status == status
    assert detail in finding.detail
    assert finding.mend


@pytest.mark.parametrize(
    ("number", "html", "detail"),
    [
        (6, '<img src="a">', "alt=None"),
        (6, '<img src="a" alt="chart.PNG">', "alt='chart.PNG'"),
        (28, '<img alt="a" src="https://spy.example/p.gif">', "from spy.example"),
        (28, '<b style="background:url(//spy.example/x)">a</b>', "spy.example"),
        (30, "<script>a</script>", "<script>"),
    ],
)
def test_what_no_template_can_do_is_checked_again_in_the_bytes(
    number: int, html: str, detail: str
) -> None:
    finding = check(spoil(compile_it(), html=encode_text(html)))[number]
    assert finding.status == "fail"
    assert detail in finding.detail


def test_a_caveat_outside_of_its_block_is_not_enough(tmp_path: Path) -> None:
    rows = (
        "{% for b in edition.briefs %}{% for l in b.lenses %}{% call block(l.key) %}{{ l.name }}"
        "{% endcall %} {{ l.caveat }}{% endfor %}{% endfor %}"
    )
    (tmp_path / "digest.mjml.j2").write_text(f"{HEAD}{ROW % rows}</mjml>")
    assert check(compile_it(own=tmp_path))[33].status == "fail"


def test_language_title_and_wrapper(tmp_path: Path) -> None:
    (tmp_path / "digest.mjml.j2").write_text(f"<mjml>{ROW % 'a'}</mjml>")
    findings = check(compile_it(own=tmp_path))
    assert "html has lang=und dir=auto" in findings[2].detail
    assert (
        findings[3].detail
        == "the title is not the subject; no element with role=article and a label"
    )


def test_bytes_are_checked_and_not_the_templates_word() -> None:
    compiled = compile_it()
    assert check(spoil(compiled, html=b"x=\r\n"))[1].status == "fail"
    assert check(spoil(compiled, html=b"=E2=80=AE=\r\n"))[30].detail == "the character U+202E"
    assert check(spoil(compiled, plain=b"=00\r\n"))[30].status == "fail"
    assert (
        "79 columns"
        in check(spoil(compiled, plain=b"x" * 70 + b"=\r\n" + b"x" * 9 + b"\r\n"))[25].detail
    )


def test_plain_text_that_leaves_something_out(tmp_path: Path) -> None:
    (tmp_path / "digest.txt.j2").write_text("{{ edition.date_text }}")
    detail = check(compile_it(own=tmp_path))[25].detail
    assert "'Harbor city approves port' is missing" in detail
    (tmp_path / "partials").mkdir()
    (tmp_path / "digest.txt.j2").unlink()
    shipped = find_templates().find("partials/story.txt.j2").read_text()
    own = shipped.replace("source.url", '""')
    assert own != shipped
    (tmp_path / "partials/story.txt.j2").write_text(own)
    assert "link https://post.example/1 is missing" in check(compile_it(own=tmp_path))[25].detail


def test_sizes_warn_and_fail(tmp_path: Path) -> None:
    compiled = compile_it()
    size = check(spoil(compiled, html=b"x" * 75_000 + b"=\r\n"))[16]
    assert (size.status, size.detail[-17:]) == ("warn", " bytes of 100,000")
    assert check(spoil(compiled, html=b"x" * 99_000 + b"=\r\n"))[16].status == "fail"
    style = f"<mj-style>@media screen {{ {'.a { color: red; }' * 800} }}</mj-style>"
    (tmp_path / "digest.mjml.j2").write_text(f"<mjml><mj-head>{style}</mj-head>{ROW % 'a'}</mjml>")
    assert check(compile_it(own=tmp_path))[17].status == "fail"


@pytest.mark.parametrize(
    ("preheader", "detail"),
    [
        ("Too short", "it has 9 characters"),
        ("Harbor vote, river gauges and more of the same again", "repeats"),
    ],
)
def test_a_weak_preheader(preheader: str, detail: str) -> None:
    weak = replace(EDITION, preheader=preheader)
    finding = check(compile_it(weak), weak)[24]
    assert finding.status == "warn"
    assert detail in finding.detail


def test_a_brief_without_a_source() -> None:
    unnamed = replace(EDITION, briefs=(replace(BRIEF, sources=()),))
    finding = check(compile_it(unnamed), unnamed)[31]
    assert (finding.status, finding.detail) == (
        "warn",
        "'Harbor city approves port' names no source",
    )


def test_a_fault_in_one_form_names_whose_copy_has_it(tmp_path: Path) -> None:
    shipped = find_templates().find("partials/lines.mjml.j2").read_text()
    own = shipped.replace("<ul", '<a href="{{ slot("web_url") }}">here</a><ul', 1)
    assert own != shipped
    (tmp_path / "partials").mkdir()
    (tmp_path / "partials/lines.mjml.j2").write_text(own)
    findings = check(compile_it(own=tmp_path))
    assert findings[18].status == "fail"
    assert findings[18].copies == ("who wants one line of each",)
    assert findings[4].copies == ()
