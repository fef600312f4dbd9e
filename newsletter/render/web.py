"""The web copy: an edition as a page, each of its briefs as a page, and the list of all editions.

Pages are made from what the mail is made from, and show all of it. Their addresses are permanent:

    /editions                             every edition, the latest first
    /editions/2026-11-23                  an edition; #brief-3 is its third brief
    /editions/2026-11-23/briefs/3         that brief alone
    /editions/2026-11-23-weekly           that day's round-up; special editions likewise

A brief is named by its place, and by nothing that a correction may change: from its approval on
an edition keeps its briefs and their order. As a file each page is the `index.html` of its
folder, so that any server of files has it at its address. Links within a page are paths from the
root, since a folder is asked for with and without the slash at its end.

Everything here is pure: an edition in, bytes by path out.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, date, datetime
from itertools import groupby
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import regex

from newsletter.briefs.model import Brief
from newsletter.editions.corrections import Made
from newsletter.editions.model import Edition
from newsletter.editions.model import Kind as EditionKind
from newsletter.editions.receipts import Approval
from newsletter.errors import TemplateError
from newsletter.render.addresses import (
    ARCHIVE_PATH,
    FEEDBACK_STEP,
    SEARCH_PATH,
    SUBSCRIBE_PATH,
    brief_path,
    edition_path,
)
from newsletter.render.compiled import WORDS_PER_MINUTE
from newsletter.render.context import (
    Context,
    PictureView,
    build_context,
    build_look,
    clean_line,
    clean_paragraphs,
    fit_picture,
)
from newsletter.render.facts import count_edition_words
from newsletter.render.languages import Language, read_language, write_date
from newsletter.render.templates import TemplateSet
from newsletter.settings import SHIPPED_LOOK, Look, Publication, Vocabulary

MARK = "newsletter web copy"
"""What our own files say of themselves; a file without it is never overwritten."""

_MARK_HTML = f"<!-- {MARK} -->\n"
_STYLE = "web/style.css.j2"
_COLUMN_PIXELS = 608  # the body's width without its edges, in style.css.j2
_DESCRIPTION_GRAPHEMES = 200  # what search engines and messengers show
# What XML 1.0 has no way to write. Texts are clean of it; an operator's template may not be.
_UNWRITABLE = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Kind = Literal["edition", "brief", "archive"]


class FeedLink(NamedTuple):
    """A feed of editions: what readers call it, its media type, its file."""

    name: str
    type: str
    url: str


FEEDS = (
    FeedLink("RSS", "application/rss+xml", "/editions/feed.xml"),
    FeedLink("Atom", "application/atom+xml", "/editions/atom.xml"),
    FeedLink("JSON Feed", "application/feed+json", "/editions/feed.json"),
)
"""The feeds, by the paths of their files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An edition as lists and neighbours name it; `title` is its `choose_headline`."""

    date: date
    title: str
    kind: EditionKind = "daily"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """An edition that readers may have, when it was approved, and the ones beside it."""

    edition: Edition
    published_at: datetime
    previous: Listed | None = None
    next: Listed | None = None
    corrections: tuple[Made, ...] = ()
    """What was found wrong in it since, the earliest first."""
    approvals: Mapping[int, Approval] = field(default_factory=dict)
    """Who let each brief go, by its number, where that is known."""

    @property
    def changed_at(self) -> datetime:
        """When it was approved, or corrected last."""
        return max((self.published_at, *(each.made_at for each in self.corrections)))


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectedView:
    """What was found wrong in an edition since; `number` is the brief's, or 0."""

    number: int
    text: tuple[str, ...]
    date: str
    date_text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalView:
    """Who let a brief go: `by` is a name where those are shown; `is_rule` says a setting did."""

    date: str
    date_text: str
    by: str
    is_rule: bool
    of_edition: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PageLink:
    """Another page: its headline, and an edition's date too."""

    title: str
    url: str
    date: str = ""
    date_text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthView:
    """A month in the list of all editions."""

    name: str
    editions: tuple[PageLink, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageView:
    """What a template sees of its page; the head of `web/edition.html.j2` documents it."""

    kind: Kind
    url: str
    home: str
    edition: str = ""
    title: str
    headline: str
    description: str = ""
    published: str = ""
    changed: str = ""
    style: str
    policy: str
    search: str
    subscribe: str
    feedback: str = ""
    feeds: tuple[FeedLink, ...]
    previous: PageLink | None = None
    next: PageLink | None = None
    word_count: int = 0
    minutes: int = 0
    picture: PictureView | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What all pages are made with; `open_site` makes it."""

    publication: Publication
    vocabulary: Vocabulary
    templates: TemplateSet
    language: Language
    """What the interface says in the publication's language."""
    look: Look
    picture_hosts: tuple[str, ...]
    """Hosts that a page may load pictures from."""
    is_served: bool = False
    """Whether the server answers that has the search and takes what readers say."""
    takes_readers: bool = False
    """Whether that server has the page where one subscribes."""
    names_approvers: bool = False
    style: str = ""

    @property
    def search(self) -> str:
        """The path of the search; "" where there is none."""
        return self.root + SEARCH_PATH if self.is_served else ""

    @property
    def subscribe(self) -> str:
        """The path of the page where one subscribes; "" where there is none."""
        return self.root + SUBSCRIBE_PATH if self.takes_readers else ""

    @property
    def url(self) -> str:
        """The address that permanent addresses begin with."""
        return self.publication.url

    @property
    def root(self) -> str:
        """What links begin with: "" unless the publication stands in a folder of its host."""
        return urlsplit(self.url).path.rstrip("/")

    def see_corrections(self, published: Published) -> tuple[CorrectedView, ...]:
        """Give what was found wrong in an edition since, dated as the publication's days are."""
        made = [
            (c, c.made_at.astimezone(self.publication.zone).date()) for c in published.corrections
        ]
        return tuple(
            CorrectedView(
                number=each.number,
                text=clean_paragraphs(each.text),
                date=day.isoformat(),
                date_text=self.write_date(day),
            )
            for each, day in made
        )

    def see_approval(self, published: Published, number: int) -> ApprovalView | None:
        """Give who let a brief go, and when; None where nobody knows."""
        approval = published.approvals.get(number)
        if approval is None:
            return None
        day = approval.at.astimezone(self.publication.zone).date()
        return ApprovalView(
            date=day.isoformat(),
            date_text=self.write_date(day),
            # What the system calls them is user@host: the host is nobody's business.
            by=clean_line(approval.by.partition("@")[0]) if self.names_approvers else "",
            is_rule=not approval.by,
            of_edition=approval.of_edition,
        )

    @property
    def policy(self) -> str:
        """What any page may load: its style sheet, and pictures of the hosts; nothing else."""
        digest = base64.b64encode(hashlib.sha256(self.style.encode()).digest()).decode()
        pictures = " ".join(("'self'", *(f"https://{host}" for host in self.picture_hosts)))
        return (
            f"default-src 'none'; style-src 'sha256-{digest}'; img-src {pictures}; base-uri 'none'"
        )

    def see(self, edition: Edition) -> Context:
        """Give what the mail's templates see of an edition; pictures have the room of a page."""
        return build_context(
            edition,
            publication=self.publication,
            vocabulary=self.vocabulary,
            look=self.look,
            column_pixels=_COLUMN_PIXELS,
        )

    def headline(self, edition: Edition) -> str:
        """Give an edition's headline; its date where nobody wrote one."""
        lead = edition.briefs[0].title if edition.briefs else ""
        return choose_headline(edition.subject, lead) or self.write_date(edition.date)

    def write_date(self, day: date, skeleton: str = "") -> str:
        """Write a date out in the publication's language."""
        return write_date(day, self.publication.language, skeleton)

    def render(self, name: str, variables: Mapping[str, Any]) -> str:
        """Run a template of the web copy."""
        functions: dict[str, Callable[..., Any]] = {
            "_": lambda text: self.language.say(text),
            "ngettext": lambda one, many, number: self.language.say(one, many, number),
            "host": _host,
        }
        return _UNWRITABLE.sub("", self.templates.render(name, variables, functions, {})).strip()


def open_site(
    *,
    publication: Publication,
    vocabulary: Vocabulary,
    templates: TemplateSet,
    look: Look = SHIPPED_LOOK,
    picture_hosts: Sequence[str] = (),
    is_served: bool = False,
    takes_readers: bool = False,
    names_approvers: bool = False,
) -> Site:
    """Begin pages: read the interface's words, and run the style sheet that all pages share.

    Raises `TemplateError` for a fault in either.
    """
    site = Site(
        publication=publication,
        vocabulary=vocabulary,
        templates=templates,
        language=read_language(templates.directories, publication.language),
        look=look,
        picture_hosts=tuple(picture_hosts),
        is_served=is_served,
        takes_readers=takes_readers,
        names_approvers=names_approvers,
    )
    style = site.render(_STYLE, {"look": build_look(look)}) + "\n"
    if "</style" in style.lower():
        raise TemplateError(
            "ends the <style> that it stands in", file=templates.find(_STYLE), mend="take it out"
        )
    return replace(site, style=style)


def file_of(path: str) -> str:
    """Give the file, relative to the site's folder, that a server shows at a page's path."""
    return f"{path.lstrip('/')}/index.html"


def choose_headline(subject: str, lead: str) -> str:
    """Choose what a page is called: the mail's subject, or the lead's title where that was cut."""
    return clean_line(lead if subject.endswith("…") and lead else subject)


# -- pages -----------------------------------------------------------------------------------------


def build_edition(site: Site, published: Published) -> dict[str, bytes]:
    """Build the page of an edition and those of its briefs, by file.

    Raises `TemplateError` for a fault in a template.
    """
    context = site.see(published.edition)
    path = edition_path(published.edition.date, published.edition.kind)
    page = _page(
        site,
        "edition",
        path,
        headline=site.headline(published.edition),
        description=context.edition.preheader,
    )
    page = replace(
        page,
        edition=site.root + path,
        published=format_moment(published.published_at),
        changed=format_moment(published.changed_at) if published.corrections else "",
        picture=next(filter(None, map(_shared_picture, published.edition.briefs)), None),
        previous=_link(site, published.previous) if published.previous else None,
        next=_link(site, published.next) if published.next else None,
    )
    urls = story_urls(site.root, published.edition)
    corrected = site.see_corrections(published)
    variables = {"page": _count(page, context), "story_url": urls, "corrected": corrected}
    files = {file_of(path): _run(site, "web/edition.html.j2", context, variables)}
    for number in range(1, len(context.edition.briefs) + 1):
        files |= _build_brief(site, published, context, number)
    return files


def _build_brief(
    site: Site, published: Published, context: Context, number: int
) -> dict[str, bytes]:
    edition, briefs = published.edition, context.edition.briefs
    brief = briefs[number - 1]
    # The disclosure names the sources of what is on the page.
    alone = site.see(
        replace(
            edition,
            briefs=(edition.briefs[number - 1],),
            placings=(edition.placing(number - 1),),
            sections=(),
        )
    ).edition
    own = replace(
        context,
        edition=replace(
            context.edition, briefs=(brief,), sections=alone.sections, disclosure=alone.disclosure
        ),
    )
    path = brief_path(edition.date, number, edition.kind)
    urls = story_urls(site.root, edition)
    links = {other.number: PageLink(title=other.title, url=urls[other.number]) for other in briefs}
    page = _page(
        site, "brief", path, headline=brief.title, description=_shorten(" ".join(brief.summary))
    )
    page = replace(
        page,
        edition=site.root + edition_path(edition.date, edition.kind),
        published=format_moment(published.published_at),
        changed=format_moment(published.changed_at) if published.corrections else "",
        picture=_shared_picture(edition.briefs[number - 1]),
        feedback=site.root + path + FEEDBACK_STEP if site.is_served else "",
        previous=links.get(number - 1),
        next=links.get(number + 1),
    )
    variables = {
        "page": _count(page, own),
        "story_url": urls,
        "corrected": site.see_corrections(published),
        "approval": site.see_approval(published, number),
        "brief": brief,
    }
    return {file_of(path): _run(site, "web/brief.html.j2", own, variables)}


def build_archive(site: Site, context: Context, listed: Sequence[Listed]) -> dict[str, bytes]:
    """Build the list of all editions, the latest first; `context` is that of any edition."""
    months = tuple(
        MonthView(
            name=site.write_date(month[0].date, "yMMMM"),
            editions=tuple(
                replace(_link(site, each), date_text=site.write_date(each.date, "MMMEd"))
                for each in month
            ),
        )
        for _, group in groupby(listed, key=lambda each: (each.date.year, each.date.month))
        if (month := list(group))
    )
    page = _page(site, "archive", ARCHIVE_PATH, headline=context.publication.name, description="")
    variables = {"page": page, "months": months}
    return {file_of(ARCHIVE_PATH): _run(site, "web/archive.html.j2", context, variables)}


def build_content(site: Site, published: Published) -> str:
    """Build what a feed carries of an edition: all its briefs, with whole addresses."""
    edition = published.edition
    variables = {
        **_variables(site.see(edition)),
        "story_url": story_urls(site.url, edition),
        "corrected": site.see_corrections(published),
    }
    return site.render("web/entry.html.j2", variables)


def story_urls(base: str, edition: Edition) -> dict[int, str]:
    """Give the address of each brief's page, by its number."""
    numbers = range(1, len(edition.briefs) + 1)
    return {n: base + brief_path(edition.date, n, edition.kind) for n in numbers}


def format_moment(moment: datetime) -> str:
    """Write a time as RFC 3339 has it, in whole seconds of UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _page(site: Site, kind: Kind, path: str, *, headline: str, description: str) -> PageView:
    name = clean_line(site.publication.name)
    form_target = "'self'" if site.is_served else "'none'"
    return PageView(
        kind=kind,
        url=site.url + path,
        home=site.root + ARCHIVE_PATH,
        title=headline if headline == name else f"{headline} · {name}",
        headline=headline,
        description=description,
        style=site.style,
        policy=f"{site.policy}; form-action {form_target}",
        search=site.search,
        subscribe=site.subscribe,
        feeds=tuple(FeedLink(f.name, f.type, site.root + f.url) for f in FEEDS),
    )


def _shared_picture(brief: Brief) -> PictureView | None:
    """Give a brief's picture as large as it is: whoever shares a page has room of their own."""
    return fit_picture(brief.picture, brief.picture.width) if brief.picture else None


def _count(page: PageView, context: Context) -> PageView:
    words = count_edition_words(context.edition.briefs)
    return replace(page, word_count=words, minutes=max(1, round(words / WORDS_PER_MINUTE)))


def _link(site: Site, listed: Listed) -> PageLink:
    return PageLink(
        title=clean_line(listed.title) or site.write_date(listed.date),
        url=site.root + edition_path(listed.date, listed.kind),
        date=listed.date.isoformat(),
        date_text=site.write_date(listed.date),
    )


def _shorten(text: str) -> str:
    """Cut at a word, so that a description is not cut by whoever shows it."""
    graphemes = regex.findall(r"\X", text)
    if len(graphemes) <= _DESCRIPTION_GRAPHEMES:
        return text
    cut = "".join(graphemes[: _DESCRIPTION_GRAPHEMES - 1])
    return (cut.rpartition(" ")[0] or cut).rstrip(" ,;:–—-") + "…"


# -- the run of a template -------------------------------------------------------------------------


def _run(site: Site, name: str, context: Context, variables: Mapping[str, Any]) -> bytes:
    html = site.render(name, {**_variables(context), **variables})
    return f"{html}\n{_MARK_HTML}".encode()


def _variables(context: Context) -> dict[str, Any]:
    return {each.name: getattr(context, each.name) for each in fields(context)}


def _host(url: str) -> str:
    """Give the host of an address, as a link names where it leads."""
    return (urlsplit(url).hostname or "").removeprefix("www.")
