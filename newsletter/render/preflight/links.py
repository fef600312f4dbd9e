"""Links: where they go, what they say, and, where somebody asked them, how they answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from lxml import html as lxml_html

from newsletter.render.context import Context
from newsletter.render.preflight.mail import Check, Mail
from newsletter.render.preflight.report import Finding, Verdict, judge, worst

_EMPTY_TEXTS = frozenset(
    (
        *("", "click", "click here", "continue", "details", "go", "here", "learn more", "link"),
        *("more", "open", "read more", "read on", "see more", "this"),
        *(
            "hier",
            "hier klicken",
            "klicken sie hier",
            "mehr",
            "mehr lesen",
            "weiter",
            "weiterlesen",
        ),
        *("aquí", "haz clic aquí", "haga clic aquí", "leer más", "más", "seguir leyendo"),
        *("כאן", "לחצו כאן", "לחץ כאן", "עוד", "קרא עוד", "קראו עוד", "להמשך קריאה"),
    )
)
"""Texts that say nothing, in the languages that the mail speaks."""
_EDGES = " .…>»→<«←:!"
_LOADING = ("src", "srcset", "background", "poster", "data")
_CSS_ADDRESS = re.compile(r"""(?:url\(|@import\s)\s*['"]?([^'")\s;]*)""")
_WHOLE_ADDRESS = re.compile(r"https?://\S+")
_HIDDEN = re.compile(
    r"display:none|visibility:hidden|opacity:0(?![.\d])|(?:^|;)(?:max-)?(?:width|height):[01]px"
)
_NOWHERE = frozenset(("unsubscribe_url", "preferences_url", "feedback_url"))

LINKS_NUMBER = 38
LINKS_NAME = "links answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An address that the mail leads to, and where it stands."""

    url: str
    places: tuple[str, ...]
    """Titles of briefs, or "masthead and footer"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How a link answered: `status` is HTTP's, or 0 and `problem` says why there is none."""

    link: Link
    status: int
    problem: str = ""
    ended_at: str = ""
    """Where it led to, if that is another address."""

    @property
    def is_good(self) -> bool:
        """Whether a reader gets a page."""
        return 200 <= self.status < 400 and not self.problem

    @property
    def is_withheld(self) -> bool:
        """Whether the server answers people, but not us: a login, a robot's limit."""
        return self.status in (401, 403, 429)


def list_links(mail: Mail) -> tuple[Link, ...]:
    """List each page that the mail leads to once; a reader's own addresses are no pages."""
    own = {mail.values.get(name) for name in _NOWHERE}
    places: dict[str, list[str]] = {}
    for place, url in _place_links(mail):
        if urlsplit(url).scheme in ("http", "https") and url not in own:
            known = places.setdefault(url.partition("#")[0], [])
            if place not in known:
                known.append(place)
    return tuple(Link(url=url, places=tuple(where)) for url, where in places.items())


def judge_answers(answers: Iterable[Answer]) -> Finding:
    """Make a finding of what the links answered. Dead links warn: the news may be in time."""
    answers = tuple(answers)
    dead = [answer for answer in answers if not (answer.is_good or answer.is_withheld)]
    faults = [
        f"{answer.link.url[:80]} ({answer.problem or answer.status}) in {answer.link.places[0]!r}"
        for answer in dead
    ]
    withheld = sum(answer.is_withheld for answer in answers)
    verdict = judge(
        faults,
        f"{len(answers)} links" + (f", {withheld} of them answer people only" if withheld else ""),
        "correct the address in the brief, or send knowing it",
        status="warn",
    )
    return Finding(
        number=LINKS_NUMBER,
        name=LINKS_NAME,
        status=verdict.status,
        detail=verdict.detail,
        mend=verdict.mend,
    )


def check_link_texts(mail: Mail) -> Verdict:
    """18: who hears a list of links hears nothing but their texts."""
    links = mail.tree.xpath("//a[@href]")
    texts = (_say(link) for link in links)
    faults = [f"a link says {text!r}" for text in texts if text in _EMPTY_TEXTS]
    return judge(faults, f"{len(links)} links", "name the page that the link leads to")


def check_hosts(mail: Mail) -> Verdict:
    """29: nothing tells anybody who reads this, or when."""
    links = [str(href) for href in mail.tree.xpath("//a/@href")]
    allowed = set(_list_hosts(mail.context))
    hosts = {host for url in links if (host := _host(url))}
    pixels = [image for image in mail.tree.xpath("//img") if _is_pixel(image, mail.picture_hosts)]
    known = set(_list_addresses(mail.context))
    redirects = sorted({url for url in links if url not in known and _is_redirect(url)})
    spying = judge(
        [f"a picture of {image.get('width')}×{image.get('height')} pixels" for image in pixels]
        + [f"{url[:60]} leads on to another address" for url in redirects],
        "",
        "a counting pixel or a redirect tells who read it and when; take it out",
    )
    strange = judge(
        [f"a link to {host}" for host in sorted(hosts) if not _is_among(host, allowed)],
        ", ".join(sorted(hosts)) or "no links",
        "only the publication's own pages and the briefs' sources are expected",
        status="warn",
    )
    return worst(strange, spying)


def check_loads(mail: Mail) -> Verdict:
    """28: what a mail loads tells its server who opened it, and when."""
    found = {
        urlsplit(str(value)).hostname or str(value)[:40]
        for name in _LOADING
        for value in mail.tree.xpath(f"//*[not(self::a)]/@{name}")
    }
    found |= {str(link) for link in mail.tree.xpath("//link/@href")}
    css = " ".join(mail.tree.xpath("//style/text()|//@style"))
    found |= {urlsplit(address).hostname or address for address in _CSS_ADDRESS.findall(css)}
    pictures = found & mail.picture_hosts
    return judge(
        [f"it loads from {host}" for host in sorted(found - mail.picture_hosts)],
        f"pictures from {', '.join(sorted(pictures))}, and nothing else"
        if pictures
        else "no picture, font or style from anywhere",
        "a mail that loads something tells who read it and when; take it out",
    )


def count_links(mail: Mail) -> Verdict:
    """38: who wants to know whether the links answer has to ask, since asking takes time."""
    count = len(list_links(mail))
    return Verdict("skip", f"{count} pages, not asked", "`newsletter check --links` asks each")


def _place_links(mail: Mail) -> Iterator[tuple[str, str]]:
    """Yield where each link stands: the briefs' own first, then the rest."""
    told: set[str] = set()
    for brief in mail.briefs:
        for url in (brief.link, *(source.url for source in brief.sources)):
            if url:
                told.add(url)
                yield brief.title, url
    for href in mail.tree.xpath("//a/@href"):
        if str(href) not in told:
            yield "masthead and footer", str(href)


def _say(link: lxml_html.HtmlElement) -> str:
    """Say what a screen reader calls a link, folded for comparison."""
    pictures = (str(alt) for alt in link.xpath(".//img/@alt"))
    said = link.get("aria-label") or " ".join((link.text_content(), *pictures))
    return " ".join(said.split()).strip(_EDGES).casefold()


def _list_addresses(context: Context) -> Iterator[str]:
    """List every address that the edition itself has, wherever it stands."""
    values: list[Any] = [asdict(context)]
    while values:
        value = values.pop()
        if isinstance(value, dict):
            values += value.values()
        elif isinstance(value, (list, tuple)):
            values += value
        elif isinstance(value, str) and _WHOLE_ADDRESS.fullmatch(value):
            yield value


def _list_hosts(context: Context) -> Iterator[str]:
    yield from filter(None, map(_host, _list_addresses(context)))


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _is_among(host: str, allowed: set[str]) -> bool:
    return any(host == known or host.endswith(f".{known}") for known in allowed)


def _is_pixel(image: lxml_html.HtmlElement, known_hosts: frozenset[str]) -> bool:
    """Tell whether a picture is there to be counted and not to be seen.

    One of the publication's own may be hidden, as the dark twin of a logo is.
    """
    sizes = [(image.get(name) or "").removesuffix("px").strip() for name in ("width", "height")]
    if all(size in ("0", "1", "2") for size in sizes):
        return True
    style = (image.get("style") or "").replace(" ", "")
    return bool(_HIDDEN.search(style)) and _host(image.get("src") or "") not in known_hosts


def _is_redirect(url: str) -> bool:
    """Tell whether an address carries another one that it would lead on to."""
    return any(
        re.match(r"(?:https?:)?//|https?%3a", value, re.IGNORECASE)
        for _, value in parse_qsl(urlsplit(url).query)
    )


CHECKS: tuple[Check, ...] = (
    (18, "links say where they go", check_link_texts),
    (28, "nothing is loaded", check_loads),
    (29, "links go where they say", check_hosts),
    (LINKS_NUMBER, LINKS_NAME, count_links),
)
