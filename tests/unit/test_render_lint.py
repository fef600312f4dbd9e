"""What the linter finds in rendered MJML, all of it, and that it finds nothing in ours."""

from html import unescape
from pathlib import Path

import jinja2
import pytest
from lxml import html as lxml_html
from mjml import mjml2html

from newsletter.errors import Problem, TemplateError
from newsletter.render.lint import lint
from newsletter.render.markup import build_html
from newsletter.render.mjml_tags import ATTRIBUTES, VALUES, VALUES_OF_TAG
from newsletter.render.origin import MarkSources, Source

MAIN = Path("digest.mjml.j2")


def judge(text: str, *hosts: str) -> tuple[Problem, ...]:
    """Lint a template without variables, its marks put there by Jinja as in earnest."""
    environment = jinja2.Environment(
        loader=jinja2.DictLoader({MAIN.name: text}), extensions=[MarkSources], autoescape=True
    )
    # DictLoader names no file; the marks then say None.
    marked = environment.get_template(MAIN.name).render().replace("\x02None:", f"\x02{MAIN}:")
    return lint(Source.read(marked, MAIN), picture_hosts=frozenset(hosts))


def column(rows: str, head: str = "") -> str:
    """Write a digest around rows, the first of them in line 2."""
    return (
        f"<mjml><mj-head>{head}</mj-head><mj-body><mj-section><mj-column>\n{rows}"
        "</mj-column></mj-section></mj-body></mjml>"
    )


def said(problems: tuple[Problem, ...]) -> list[tuple[int | None, str]]:
    return [(p.line, p.problem) for p in problems]


def test_every_fault_is_told_each_once() -> None:
    rows = (
        "{% for n in [1, 2, 3] %}\n"
        '<mj-text colour="red">a</mj-text>\n'
        "{% endfor %}\n"
        '<mj-image src="https://spy.example/a.png" />\n'
        "<mj-txet>b</mj-txet>\n"
        "<mj-text><b>c</mj-text>\n"
        '<mj-text mj-class="seriff">d</mj-text>\n'
    )
    found = judge(column(rows, '<mj-attributes><mj-class name="serif" /></mj-attributes>'))
    assert said(found) == [
        (3, "<mj-text> has no attribute colour"),
        (5, "<mj-image> loads a picture from spy.example"),
        (5, "<mj-image> has no alt"),
        (6, "<mj-txet> is no MJML tag"),
        (7, "</mj-text> closes nothing, but <b> of line 7 is open"),
        (8, '<mj-text> has mj-class="seriff", which is not defined'),
    ]
    assert {p.file for p in found} == {"digest.mjml.j2"}
    assert [p.mend for p in found if "colour" in p.problem] == ["perhaps color is meant"]
    assert [p.mend for p in found if "seriff" in p.problem] == ["perhaps serif is meant"]


def test_the_error_says_the_first_and_how_many_more() -> None:
    marked = column('<mj-text a="b">c</mj-text><mj-text d="e">f</mj-text><p>g</p>')
    with pytest.raises(TemplateError) as caught:
        build_html(marked, MAIN)
    assert str(caught.value) == (
        "digest.mjml.j2: <mj-text> has no attribute a (and 2 more); take it out, it would do "
        "nothing."
    )
    assert list(map(str, caught.value.problems)) == [
        "digest.mjml.j2: <mj-text> has no attribute a; take it out, it would do nothing.",
        "digest.mjml.j2: <mj-text> has no attribute d; take it out, it would do nothing.",
        "digest.mjml.j2: <p> stands in <mj-column>; put it into <mj-text> or <mj-raw>.",
    ]
    assert TemplateError("a", file="b", line=3).problems == (Problem("a", file="b", line=3),)


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        # what stands where
        ("<mj-text>a <i>b</mj-text><p>", "</mj-text> closes nothing, but <i> of line 2 is open"),
        ("</i>", "</i> closes nothing, but <mj-column> of line 1 is open"),
        ("<mj-section></mj-section>", "<mj-section> stands in <mj-column>"),
        ("<script>a</script>", "<script> is not for mail from here"),
        ("<mj-text><iframe></iframe></mj-text>", "<iframe> is not for mail from here"),
        ("<mj-text>a</mj-text> 1 < 2", "a bare < follows this tag"),
        ('<mj-text>a</mj-text><mj-text color="red>b</mj-text>', "a bare < follows this tag"),
        # attributes
        ('<mj-text width="3px">a</mj-text>', "<mj-text> has no attribute width"),
        ('<mj-text COLOR="red">a</mj-text>', "<mj-text> has no attribute COLOR"),
        ("<mj-text color=red>a</mj-text>", '<mj-text> has color without ""'),
        ("<mj-text color>a</mj-text>", '<mj-text> has color without ""'),
        ('<mj-text color="red" color="blue">a</mj-text>', "<mj-text> has color twice"),
        ('<mj-raw css-class="a"></mj-raw>', "<mj-raw> has no attribute css-class"),
        # values
        ('<mj-text color="redd">a</mj-text>', '<mj-text> has color="redd"'),
        ('<mj-text color="#12345">a</mj-text>', '<mj-text> has color="#12345"'),
        ('<mj-text padding="10">a</mj-text>', '<mj-text> has padding="10"'),
        ('<mj-text padding="1px 2px 3px 4px 5px">a</mj-text>', "<mj-text> has padding="),
        ('<mj-text padding-top="1px 2px">a</mj-text>', '<mj-text> has padding-top="1px 2px"'),
        ('<mj-text font-size="1em">a</mj-text>', '<mj-text> has font-size="1em"'),
        ('<mj-text align="start">a</mj-text>', '<mj-text> has align="start"'),
        ('<mj-divider border-width="thin" />', '<mj-divider> has border-width="thin"'),
        ('<mj-divider width="wide" />', '<mj-divider> has width="wide"'),
        (
            '<mj-image src="https://pics.example/a" alt="" width="50%" />',
            '<mj-image> has width="50%"',
        ),
        # pictures
        ('<mj-image src="https://pics.example/a.png" />', "<mj-image> has no alt"),
        ('<mj-image alt="a" />', "<mj-image> has no src"),
        ('<mj-image src="" alt="a" />', "<mj-image> has no src"),
        ('<mj-image src="https://pics.example/a" alt="A-1.PNG" />', '<mj-image> has alt="A-1.PNG"'),
        ('<mj-text><img src="https://pics.example/a" /></mj-text>', "<img> has no alt"),
        (
            '<mj-image src="logo.png" alt="" />',
            '<mj-image> has src="logo.png", which is no web address',
        ),
        (
            '<mj-image src="data:image/png;base64,AA" alt="" />',
            '<mj-image> has src="data:image/png;base64,AA", which is no web address',
        ),
        (
            '<mj-image src="//[spy" alt="" />',
            '<mj-image> has src="//[spy", which is no web address',
        ),
        *(
            (f'<mj-image src="{address}" alt="" />', "<mj-image> loads a picture from spy.example")
            for address in (
                "https://spy.example/pics.example",
                "HTTP://SPY.example:80/a",
                "//spy.example/a",
                r"\\spy.example/a",
                "https://pics.example@spy.example/a",
                "&#104;ttps://spy.example/a",
                "ht\ttps://spy.example/a",
            )
        ),
        (
            '<mj-image src="https://pics.example/a" alt="" srcset="a.png, //spy.example/b 2x" />',
            "<mj-image> loads a picture from spy.example",
        ),
        # whatever else would be loaded
        (
            '<mj-raw><link rel="stylesheet" href="//a.example/x" /></mj-raw>',
            '<link> loads href="//a.example/x"',
        ),
        (
            '<mj-text><table background="https://pics.example/a"></table></mj-text>',
            '<table> loads background="https://pics.example/a"',
        ),
        (
            '<mj-text><input type="image" src="//a.example/x" /></mj-text>',
            '<input> loads src="//a.example/x"',
        ),
        (
            '<mj-text><b style="background:url(&quot;//a.example/x&quot;)">a</b></mj-text>',
            'the style of <b> loads url("//a.example/x',
        ),
        (
            r'<mj-text><b style="background:\75 rl(/x.png)">a</b></mj-text>',
            "the style of <b> loads url(/x.png",
        ),
        (
            "<mj-text><b style=\"background:image-set('https://a.example/x' 1x)\">a</b></mj-text>",
            "the style of <b> loads 'https://a.example/x",
        ),
        (
            '<mj-raw><!--[if mso]><v:fill src="https://a.example/x" /><![endif]--></mj-raw>',
            '<v:fill> loads src="https://a.example/x"',
        ),
        (
            "<mj-raw><!--[if mso]><style>b{background:url(x.png)}</style><![endif]--></mj-raw>",
            "a style loads url(x.png",
        ),
    ],
)
def test_one_fault(rows: str, problem: str) -> None:
    found = judge(column(rows), "pics.example")
    assert [p.problem for p in found if p.problem.startswith(problem)], said(found)
    assert {p.line for p in found if p.problem.startswith(problem)} == {2}


def test_tags_too_deep_for_the_compiler_are_told_once() -> None:
    deep = "<b>" * 10_000 + "</b>" * 10_000
    assert said(judge(column(f"<mj-text>{deep}</mj-text>"))) == [
        (2, "<b> stands within 199 other tags")
    ]


@pytest.mark.parametrize(
    "rows",
    [
        '<mj-image src="https://pics.example/a.png" alt="A harbor" width="90px" height="auto" />',
        '<mj-text><img src="//PICS.example/a" alt="" srcset="//pics.example/b 2x" /></mj-text>',
        '<mj-text padding="0 10px 5% 0" color="DarkSeaGreen" line-height="1.5">a</mj-text>',
        '<mj-text color="rgba(1, 2, 3, .5)" letter-spacing="-.08em" align="justify">a</mj-text>',
        '<mj-text mj-class="a b">a</mj-text>',
        '<mj-table width="100%" cellpadding="4"><tr><td colspan="2">a</td></tr></mj-table>',
        '<mj-text><a href="https://any.example/">a</a><br>b<br /></mj-text>',
        "<mj-text><b style=\"font-family:'a b';background:url(data:image/gif,a)\">a</b></mj-text>",
        "<mj-raw><!-- a <b> in a comment, src='//a.example' --></mj-raw>",
        '<mj-raw><!--[if mso]><table width="600"><tr><td><![endif]--></mj-raw>',
        '<mj-text><a title="1 > 0 & <b>" href="#">a</a></mj-text>',
    ],
)
def test_what_is_fine(rows: str) -> None:
    head = (
        '<mj-attributes><mj-all padding="0" /><mj-text color="#111" />'
        '<mj-class name="a" font-size="18px" /><mj-class name="b" /></mj-attributes>'
        "<mj-style>@media (min-width: 1px) { a > b { background: url(#x) } /* url(//c) */ }"
        "</mj-style>"
    )
    assert judge(column(rows, head), "pics.example") == ()


@pytest.mark.parametrize(
    ("tag", "allowed"),
    [(tag, ATTRIBUTES[tag]) for tag in sorted(ATTRIBUTES.keys() - {"mjml", "mj-breakpoint"})],
)
def test_the_compiler_acts_on_every_attribute(tag: str, allowed: frozenset[str]) -> None:
    """No attribute is let through that would do nothing."""
    idle = {name for name in allowed if not any(_makes_a_difference(tag, name))}
    assert idle == set()


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ("mj-text", "colour"),
        ("mj-image", "border-top"),
        ("mj-button", "title"),
        ("mj-image", "sizes"),
        ("mj-spacer", "width"),
        ("mj-table", "font-style"),
        ("mj-body", "id"),
        ("mj-wrapper", "gap"),
    ],
)
def test_the_compiler_ignores_what_is_refused(tag: str, name: str) -> None:
    assert name not in ATTRIBUTES[tag]
    assert not any(_makes_a_difference(tag, name))


def _makes_a_difference(tag: str, name: str) -> list[bool]:
    """Compile with and without the attribute, beside others that it may need."""
    beside = {
        "mj-column": ["", 'padding="3px"'],
        "mj-hero": [
            "",
            'background-url="u"',
            'background-url="u" background-height="3px" background-width="5px"',
            'background-url="u" mode="fluid" background-height="3px" background-width="5px"',
        ],
        "mj-image": ["", 'src="s"', 'src="s" href="h"'],
        "mj-button": ["", 'href="h"'],
        "mj-section": ["", 'background-url="u"'],
        "mj-wrapper": ["", 'background-url="u"'],
    }
    values = ("17px", "33%", "right", "rtl", "#123456", "true", "full-width", "fluid")
    return [
        _page(tag, f'{others} {name}="{value}"') != _page(tag, others)
        for others in beside.get(tag, [""])
        if f"{name}=" not in others
        for value in values
    ]


def _page(tag: str, attributes: str) -> str:
    text = "<mj-text>a</mj-text>"
    within = f"<{tag} {attributes}>{text if tag in {'mj-hero', 'mj-column'} else 'a'}</{tag}>"
    two = f"<mj-column>{text}</mj-column><mj-column>{text}</mj-column>"
    if tag == "mj-body":
        page = f"<{tag} {attributes}><mj-section>{two}</mj-section></{tag}>"
    elif tag in {"mj-wrapper", "mj-section"}:
        inner = f"<mj-section>{two}</mj-section>" * 2 if tag == "mj-wrapper" else two
        page = f"<mj-body><{tag} {attributes}>{inner}</{tag}></mj-body>"
    elif tag == "mj-hero":
        page = f"<mj-body>{within}</mj-body>"
    elif tag == "mj-group":
        group = f"<{tag} {attributes}>{two}</{tag}>"
        page = f"<mj-body><mj-section>{group}</mj-section></mj-body>"
    elif tag == "mj-column":
        page = f"<mj-body><mj-section>{within}{two}</mj-section></mj-body>"
    else:
        empty = tag in {"mj-divider", "mj-image", "mj-spacer"}
        row = f"<{tag} {attributes} />" if empty else within
        page = f"<mj-body><mj-section><mj-column>{row}</mj-column></mj-section></mj-body>"
    html: str = mjml2html(f"<mjml>{page}</mjml>", fonts={})
    return html


def test_values_are_asked_of_attributes_that_exist() -> None:
    names = frozenset[str]().union(*ATTRIBUTES.values())
    assert VALUES.keys() <= names
    assert all(name in ATTRIBUTES[tag] for tag, name in VALUES_OF_TAG)


TITLES = (
    *("C:\\news", "e\u0301le\u0300ve", "שָׁלוֹם"),
    *("हिन्दी", "\U00018df3", "a &amp; &quot;b&quot;"),
)


@pytest.mark.parametrize("title", TITLES)
def test_what_an_attribute_says_is_not_printed_as_for_programmers(title: str) -> None:
    marked = f'<mjml><mj-body><mj-raw><b title="{title}">x</b></mj-raw></mj-body></mjml>'
    (bold,) = lxml_html.document_fromstring(build_html(marked, MAIN)).iter("b")
    assert bold.get("title") == unescape(title)
