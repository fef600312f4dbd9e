"""Each check that needs a browser passes a good mail and fails one made bad on purpose."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from newsletter.render.browser import Viewer, find_fault, open_viewer
from newsletter.render.browser_checks import check_in_browser, judge_views, take_views
from newsletter.render.preflight import Finding

pytestmark = pytest.mark.browser

NUMBERS = [7, 8, 9, 10, 12, 13, 14, 15, 19, 20, 28]

GOOD = """<!doctype html>
<html lang="en" dir="ltr">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Harbor vote</title>
<style>
:root { color-scheme: light dark; }
@media (min-width: 480px) { .small { font-size: 14px !important; } }
@media (prefers-color-scheme: dark) {
.page { background-color: #161513 !important; }
.ink { color: #ece7dd !important; }
.link { color: #f09a84 !important; }
}
[data-ogsb] .page { background-color: #161513 !important; }
[data-ogsc] .ink { color: #ece7dd !important; }
[data-ogsc] .link { color: #f09a84 !important; }
</style>
</head>
<body style="margin:0;background-color:#fdfcf9">
<div class="page" role="article" aria-label="Harbor vote" lang="en" dir="ltr"
 style="background-color:#fdfcf9;padding:20px;font:16px/26px sans-serif">
<h1 class="ink" style="color:#1e1b17">Morning Ledger</h1>
<p class="ink" style="color:#1e1b17">The council voted on a berth, and the first ships are expected
in spring. <a class="link" style="color:#9a2617" href="https://news.example/1">All votes</a></p>
<p class="ink small" style="color:#1e1b17;font-size:16px">Sent to a reader.</p>
<ul style="padding:0 0 0 28px">
<li class="ink" style="color:#1e1b17"><a class="link" style="color:#9a2617;text-decoration:none;\
border-bottom:1px solid #9a2617" href="https://news.example/2">Seed prices</a></li>
<li class="ink" style="color:#1e1b17"><a class="link" style="color:#9a2617"
 href="https://news.example/3">Night trains</a></li>
</ul>
<p><a style="display:inline-block;padding:12px 24px;background-color:#7a1d10;color:#ffffff;\
text-decoration:none" href="https://news.example/4">Read it in the browser</a></p>
</div>
</body>
</html>
"""


@pytest.fixture(scope="module")
def viewer() -> Iterator[Viewer]:
    if fault := find_fault(axe=True):
        pytest.skip(fault)
    with open_viewer() as viewer:
        yield viewer


def judge(viewer: Viewer, html: str, **options: set[str]) -> dict[int, Finding]:
    views = take_views(viewer, html, picture_hosts=options.get("hosts", set()))
    return {finding.number: finding for finding in judge_views(views)}


def change(old: str, new: str) -> str:
    assert GOOD.count(old) >= 1, old
    return GOOD.replace(old, new)


def add(part: str) -> str:
    return change("<p><a style", f"{part}\n<p><a style")


AXE = {7: "", 8: "", 10: "", 14: ""}

BAD = {
    # a link without words, a picture without alt, letters too pale
    "pale letters": (
        change('class="ink small" style="color:#1e1b17', 'class="ink small" style="color:#b0aaa0'),
        {7: '<p class="ink small" style', 14: "contrast of", 15: "a reader"},
    ),
    "a link without words": (
        add('<a href="https://news.example/5"><span aria-hidden="true">→</span></a>'),
        AXE | {7: "visible to screen readers (link-name)"},
    ),
    "no language": (change('<html lang="en"', "<html"), AXE | {7: "lang attribute"}),
    # MJML puts the body's background on an inner element: the dark rule must reach it
    "white on white in dark": (
        change("padding:20px;font", "padding:20px;background:#fdfcf9!important;font"),
        {8: "'Morning Ledger'"},
    ),
    "a dark ground under dark letters": (
        change(".ink { color: #ece7dd !important; }\n.link", ".link"),
        {8: "'Morning Ledger'"},
    ),
    # Nearly white is turned to dark, and dark letters to light; a ground between them stays
    "dark letters on a middling ground": (
        add('<p style="margin:0;padding:8px;background-color:#9fb8cc;color:#1e1b17">Middling</p>'),
        {9: "<p> 'Middling' has a contrast of"},
    ),
    "no rules for Outlook.com": (
        re.sub(r"\[data-ogs.\].*\n", "", GOOD),
        {10: "there is no rule for [data-ogsc]; there is no rule for [data-ogsb]"},
    ),
    "rules for Outlook.com that lose": (
        change(
            "[data-ogsc] .ink { color: #ece7dd !important; }", "[data-ogsc] .ink { color: #ece7dd }"
        ),
        {10: "'Morning Ledger' keeps color"},
    ),
    "letters that a rule for Outlook.com swallows": (
        change("[data-ogsb] .page", "[data-ogsb] .band, [data-ogsb] .page").replace(
            "<p><a style",
            '<p class="band" style="background-color:#3a2f28;color:#ffffff">Light on dark</p>\n'
            "<p><a style",
        ),
        {10: "'Light on dark'"},
    ),
    "letters of 14 pixels on a phone": (
        add('<p class="ink" style="color:#1e1b17;font-size:14px">Small print</p>'),
        {12: "'Small print' has letters of 14 pixels", 14: "'Small print'"},
    ),
    "a table of 500 pixels": (
        add(
            '<table role="presentation" width="500" style="width:500px"><tr>'
            '<td class="ink" style="color:#1e1b17">Wide</td></tr></table>'
        ),
        {12: "<table> 'Wide' is 500 pixels wide", 13: "zoom of 400 %: ", 14: "'Wide'"},
    ),
    "a width that a style sets": (
        change("</style>", ".fixed { width: 480px; }\n</style>").replace(
            "<p><a style",
            '<table role="presentation" style="width:100%"><tr><td class="ink" '
            'style="color:#1e1b17">Stretched</td></tr><tr><td><div class="ink fixed" '
            'style="color:#1e1b17">Fixed</div></td></tr></table>\n<p><a style',
        ),
        {12: "<div class=\"ink fixed\"> 'Fixed' is 480 pixels wide", 13: ""},
    ),
    "a word that does not break": (
        add(f'<p class="ink" style="color:#1e1b17">{"quay" * 20}</p>'),
        {12: "'quayquay", 13: "'quayquay", 14: "'quayquay"},
    ),
    "text cut off on a phone": (
        add(
            '<div style="overflow:hidden;white-space:nowrap" class="ink">'
            '<span class="ink" style="color:#1e1b17">One line that is longer than a phone is '
            "wide, and then some more</span></div>"
        ),
        {12: 'is cut off by <div class="ink">', 13: "is cut off by"},
    ),
    "a height that large letters do not fit into": (
        add(
            '<div style="height:30px;overflow:hidden"><span class="ink" style="color:#1e1b17">'
            "Thirty pixels are enough for one line</span></div>"
        ),
        {12: "", 13: 'text at 200 %: <span class="ink"> \'Thirty pixels'},
    ),
    "large letters that cover the next": (
        add(
            '<div style="height:26px"><span class="ink" style="color:#1e1b17">Two short lines of '
            "text that need much more room when they are large, as some readers have it</span>"
            '</div><div class="ink" style="color:#1e1b17">Below it</div>'
        ),
        {13: "cover each other"},
    ),
    "text that a phone hides": (
        change(
            "</style>", "@media (max-width: 479px) { .wide { display: none; } }\n</style>"
        ).replace(
            "<p><a style",
            '<p class="ink wide" style="color:#1e1b17">On wide screens</p>\n<p><a style',
        ),
        {13: "zoom of 400 %: 'On wide screens' is gone"},
    ),
    "text that only styles show": (
        change("</style>", ".later { display: block !important; }\n</style>").replace(
            "<p><a style",
            '<p class="ink later" style="color:#1e1b17;display:none">Later</p>\n<p><a style',
        ),
        {14: "'Later' is gone"},
    ),
    "text that only styles hide": (
        change("</style>", ".never { display: none; }\n</style>").replace(
            "<p><a style", '<p class="ink never" style="color:#1e1b17">Never</p>\n<p><a style'
        ),
        {14: "'Never' shows, and should not"},
    ),
    "letters that only styles make dark": (
        change("</style>", ".pale { color: #1e1b17 !important; }\n</style>").replace(
            "<p><a style", '<p class="pale" style="color:#b0aaa0">Pale</p>\n<p><a style'
        ),
        {14: "'Pale'", 8: "", 10: ""},
    ),
    "a link that is a picture without words": (
        add(
            '<a href="https://news.example/5"><img src="https://pictures.example/5.png"'
            ' width="120" height="40" alt=""></a>'
        ),
        AXE | {15: "nothing leads to https://news.example/5", 28: ""},
    ),
    "a picture without words": (
        add('<img src="https://pictures.example/5.png" width="120" height="40">'),
        AXE | {15: "has no words in its place", 28: ""},
    ),
    "letters on a picture": (
        add(
            '<p style="color:#ffffff;background-image:url(https://pictures.example/5.png)">'
            "On a picture</p>"
        ),
        {15: "'On a picture' has a contrast of 1.0", 28: ""},
    ),
    "a link told by its colour": (
        add(
            '<p class="ink" style="color:#1e1b17">Read <a class="link" href="https://news.example/5"'
            ' style="color:#9a2617;text-decoration:none">the report</a> first.</p>'
        ),
        AXE | {19: "'the report' is told by its colour alone"},
    ),
    "a line that is not seen": (
        add(
            '<p class="ink" style="color:#1e1b17">Read <a class="link" href="https://news.example/5"'
            ' style="color:#9a2617;text-decoration:none;border-bottom:1px solid #fdfcf9">the report'
            "</a> first.</p>"
        ),
        {19: "'the report' is told by its colour alone"},
    ),
    "a low button": (
        change("padding:12px 24px", "padding:4px 24px"),
        {20: "'Read it in the browser' is 34 pixels high, not 44"},
    ),
    "links too close in a list": (
        change('<ul style="padding', '<ul style="line-height:17px;padding'),
        {20: "too close to <a"},
    ),
    "a pixel that counts": (
        add('<img src="https://count.example/1.gif" width="1" height="1" alt="">'),
        {28: "it asks for https://count.example/1.gif"},
    ),
    "letters from elsewhere": (
        change(":root {", "@import url(https://fonts.example/f.css);\n:root {"),
        {28: "it asks for https://fonts.example/f.css"},
    ),
}
"""Each bad mail, and the checks that it must fail, with words that their detail must have."""


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_mail_fails_its_checks_and_no_others(viewer: Viewer, fault: str) -> None:
    html, expected = BAD[fault]
    findings = judge(viewer, html)
    failed = {number: f.detail for number, f in findings.items() if f.status == "fail"}
    assert failed.keys() >= {number for number, said in expected.items() if said}, failed
    assert failed.keys() <= expected.keys(), failed
    for number, said in expected.items():
        assert said in failed.get(number, "")
        assert findings[number].mend or not said


def test_every_check_fails_some_bad_mail() -> None:
    told = {number for _, expected in BAD.values() for number, said in expected.items() if said}
    assert sorted(told) == NUMBERS


def test_a_good_mail_passes(viewer: Viewer) -> None:
    findings = judge(viewer, GOOD)
    assert sorted(findings) == NUMBERS
    assert [finding for finding in findings.values() if finding.status != "pass"] == []


def test_a_picture_of_ones_own_is_no_fault_but_must_say_something(viewer: Viewer) -> None:
    picture = '<img src="https://pictures.example/5.png" width="280" height="120" alt="{}">'
    told = judge(viewer, add(picture.format("A quay")), hosts={"pictures.example"})
    assert {finding.status for finding in told.values()} == {"pass"}
    assert told[28].detail == "1 of your own pictures, 0 other requests"
    silent = judge(viewer, add(picture.format("")), hosts={"pictures.example"})
    assert silent[15].status == "warn"
    assert "280 × 120 pixels says nothing" in silent[15].detail


def test_without_chromium_each_check_is_skipped_and_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    findings = check_in_browser(GOOD)
    assert [finding.number for finding in findings] == NUMBERS
    assert {(f.status, f.detail, f.mend) for f in findings} == {
        ("skip", "Chromium is missing", "apt-get install chromium, or name its file in CHROMIUM")
    }
