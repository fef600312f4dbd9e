"""The checks that need a browser: the mail is shown in every look, and judged by what is seen.

Long because it is a list, a function a check, with the numbers of the preflight report. All
looks are taken in one session of Chromium (`take_views`); each check then judges what was
taken, and is pure. A check fails for what a reader would lose, and names the element, its
text and the mend.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from newsletter.errors import BrowserError
from newsletter.render.browser import Look, Shown, Viewer, find_fault, use_browser
from newsletter.render.preflight.report import Finding, Status, Verdict, find, judge
from newsletter.render.survey import (
    Colour,
    SeenLink,
    SeenText,
    Spot,
    Survey,
    Violation,
    measure_contrast,
    read_outlook_rules,
    run_axe,
    sample_colours,
    take_survey,
)

PHONE = 320
SMALLEST_TEXT = 16
BUTTON = 44
TARGET = 24

_FAINT = 1.2  # a line of less contrast is not seen
_LARGE_PICTURE = 100 * 50  # square pixels; nothing smaller holds a fact


@dataclass(frozen=True, slots=True)
class Painted:
    """A text with its colours as they are painted."""

    text: SeenText
    ground: Colour
    ink: Colour


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """All that was seen of one mail."""

    plain: Survey
    """640 pixels wide, light, nothing missing."""
    phone: Survey
    """Also what a window of 1280 pixels shows at a zoom of 400 % (WCAG 2.2, 1.4.10)."""
    large_text: Survey
    unstyled: Survey
    imageless: Survey
    axe_light: tuple[Violation, ...]
    axe_dark: tuple[Violation, ...]
    axe_outlook: tuple[Violation, ...]
    axe_unstyled: tuple[Violation, ...]
    outlook_rules: Any
    forced: tuple[Painted, ...]
    requests: tuple[str, ...]
    picture_hosts: frozenset[str]
    """Where the publication has its pictures: nobody else may be asked for any."""


_Check = Callable[[Views], Verdict]
_CHECKS: list[tuple[int, str, _Check]] = []


def check_in_browser(
    html: str,
    *,
    picture_hosts: Collection[str] = (),
    on_look: Callable[[str], None] = lambda _name: None,
) -> tuple[Finding, ...]:
    """Show a mail in Chromium and judge it; without Chromium each check is skipped, and says why.

    `on_look` is told which look comes next, for who waits.
    """
    if fault := find_fault(axe=True):
        return _skip_all(fault)
    try:
        views = use_browser(
            lambda viewer: take_views(viewer, html, picture_hosts=picture_hosts, on_look=on_look)
        )
    except BrowserError as error:
        return _skip_all(str(error))
    return judge_views(views)


def judge_views(views: Views) -> tuple[Finding, ...]:
    """Judge what was seen, a finding a check."""
    return find(_CHECKS, views)


def _skip_all(reason: str) -> tuple[Finding, ...]:
    problem, _, mend = reason.rstrip(".").partition(": ")
    return tuple(
        Finding(number=number, name=name, status="skip", detail=problem, mend=mend)
        for number, name, _ in _CHECKS
    )


def take_views(
    viewer: Viewer,
    html: str,
    *,
    picture_hosts: Collection[str] = (),
    on_look: Callable[[str], None] = lambda _name: None,
) -> Views:
    """Show a mail in every look that a check asks for, one after the other."""
    requests: dict[str, None] = {}

    @contextmanager
    def show(name: str, look: Look) -> Iterator[Shown]:
        on_look(name)
        with viewer.show(html, look) as shown:
            yield shown
        requests.update(dict.fromkeys(shown.requests))

    with show("light", Look()) as shown:
        plain, axe_light = take_survey(shown), run_axe(shown)
    with show("dark", Look(scheme="dark")) as shown:
        axe_dark = run_axe(shown)
    with show("colours inverted", Look(forced_dark=True, images=False)) as shown:
        forced = _sample(viewer, shown)
    with show("Outlook.com's dark mode", Look(outlook_dark=True)) as shown:
        outlook_rules, axe_outlook = read_outlook_rules(shown), run_axe(shown)
    with show("without styles", Look(width=PHONE, styles=False)) as shown:
        unstyled, axe_unstyled = take_survey(shown), run_axe(shown)
    with show("on a phone", Look(width=PHONE)) as shown:
        phone = take_survey(shown)
    with show("text at 200 %", Look(text=2)) as shown:
        large_text = take_survey(shown)
    imageless = plain
    if requests:  # where nothing is asked for, there is no picture to do without
        with show("without pictures", Look(images=False)) as shown:
            imageless = take_survey(shown)
    return Views(
        plain=plain,
        phone=phone,
        large_text=large_text,
        unstyled=unstyled,
        imageless=imageless,
        axe_light=axe_light,
        axe_dark=axe_dark,
        axe_outlook=axe_outlook,
        axe_unstyled=axe_unstyled,
        outlook_rules=outlook_rules,
        forced=forced,
        requests=tuple(requests),
        picture_hosts=frozenset(picture_hosts),
    )


def _sample(viewer: Viewer, shown: Shown) -> tuple[Painted, ...]:
    samples = _choose_samples(take_survey(shown).texts)
    colours = sample_colours(viewer, shown, samples)
    return tuple(
        Painted(text, ground, ink) for text, (ground, ink) in zip(samples, colours, strict=True)
    )


def _choose_samples(texts: Iterable[SeenText]) -> tuple[SeenText, ...]:
    """Choose one text for each pair of colours and size of letters: the longest shows most ink."""
    chosen: dict[object, SeenText] = {}
    for text in texts:
        kind = (text.colour, text.ground, text.contrast_needed)
        if kind not in chosen or text.sample[2] > chosen[kind].sample[2]:
            chosen[kind] = text
    return tuple(chosen.values())


def _check(number: int, name: str) -> Callable[[_Check], _Check]:
    def register(check: _Check) -> _Check:
        _CHECKS.append((number, name, check))
        return check

    return register


def _judge(faults: Iterable[str], good: str, mend: str, *, status: Status = "fail") -> Verdict:
    """Judge by faults of which one may be seen in many places: each is named once."""
    return judge(list(dict.fromkeys(faults)), good, mend, status=status)


def _judge_axe(violations: tuple[Violation, ...], good: str, mend: str) -> Verdict:
    faults = [f"{v}: {v.reason or v.help} ({v.rule})" for v in violations]
    return _judge(faults, good, mend)


@_check(7, "accessible in light")
def _light(views: Views) -> Verdict:
    return _judge_axe(
        views.axe_light, "axe finds nothing serious", "mend the element, or its colours in head"
    )


@_check(8, "accessible in dark")
def _dark(views: Views) -> Verdict:
    return _judge_axe(
        views.axe_dark,
        "axe finds nothing serious",
        "give it colours of its own under prefers-color-scheme: dark, with !important",
    )


@_check(9, "readable when inverted")
def _forced(views: Views) -> Verdict:
    faults = []
    for painted in views.forced:
        contrast = measure_contrast(painted.ground, painted.ink)
        # What is painted is a shade paler than the colour itself: letters are smoothed.
        if contrast < 0.93 * painted.text.contrast_needed:
            faults.append(
                f"{painted.text} has a contrast of {contrast:.1f}, "
                f"not {painted.text.contrast_needed}"
            )
    return _judge(
        faults,
        f"{len(views.forced)} pairs of colours sampled",
        "take a ground that is nearly white: a darker one stays as it is, and its letters do not",
    )


@_check(10, "Outlook.com's dark mode")
def _outlook(views: Views) -> Verdict:
    rules = views.outlook_rules
    faults = [f"there is no rule for {name}" for name in rules["missing"]]
    faults += [
        f"{Spot(mark=lost['mark'], text=lost['text'])} keeps {lost['property']} {lost['shown']} "
        f"against the rule {lost['rule']}"
        for lost in rules["losers"]
    ]
    if faults:
        return _judge(faults, "", "add !important to the [data-ogsc] and [data-ogsb] rules")
    return _judge_axe(
        views.axe_outlook,
        "its rules win, and axe finds nothing serious",
        "repeat the dark colours under [data-ogsc] and the dark backgrounds under [data-ogsb]",
    )


@_check(12, "on a phone")
def _phone(views: Views) -> Verdict:
    faults = _sideways(views.phone)
    faults += [
        f"{text} has letters of {text.size:g} pixels"
        for text in views.phone.texts
        if text.size < SMALLEST_TEXT
    ]
    faults += [f"{text} is cut off by {text.cut}" for text in views.phone.texts if text.cut]
    return _judge(
        faults,
        f"{PHONE} pixels, letters of {SMALLEST_TEXT} and more",
        "give widths as max-width or per cent, and smaller type to wide screens alone",
    )


@_check(13, "enlarged")
def _enlarged(views: Views) -> Verdict:
    faults = []
    for name, survey in (("text at 200 %", views.large_text), ("zoom of 400 %", views.phone)):
        lost = [
            *_sideways(survey),
            *(f"{text} is cut off by {text.cut}" for text in survey.texts if text.cut),
            *(
                f"{survey.texts[first]} and {survey.texts[second]} cover each other"
                for first, second in survey.overlaps
            ),
            *(f"{text!r} is gone" for text in _missing(views.plain, survey)),
        ]
        faults += [f"{name}: {fault}" for fault in lost]
    return _judge(
        faults,
        "nothing lost with text at 200 % and a zoom of 400 %",
        "set no heights, and no overflow: hidden around text",
    )


@_check(14, "without styles")
def _unstyled(views: Views) -> Verdict:
    faults = [f"{v}: {v.reason or v.help} ({v.rule})" for v in views.axe_unstyled]
    faults += _sideways(views.unstyled)
    faults += [
        f"{text} has letters of {text.size:g} pixels"
        for text in views.unstyled.texts
        if text.size < SMALLEST_TEXT
    ]
    faults += [f"{text!r} is gone" for text in _missing(views.plain, views.unstyled)]
    faults += [f"{text!r} shows, and should not" for text in _missing(views.unstyled, views.plain)]
    return _judge(
        faults,
        "reads on when <style> is dropped",
        "write on the element itself what it cannot do without",
    )


@_check(15, "without pictures")
def _imageless(views: Views) -> Verdict:
    faults = [f"{text!r} is gone" for text in _missing(views.plain, views.imageless)]
    faults += [
        f"{text} has a contrast of {contrast:.1f}"
        for text in views.imageless.texts
        if (contrast := measure_contrast(text.colour, text.ground)) < text.contrast_needed
    ]
    for picture in views.plain.pictures:
        if picture.link and not (picture.alt or "").strip():
            faults.append(f"nothing leads to {picture.link} when {picture.mark} is not shown")
        elif picture.alt is None:
            faults.append(f"{picture.mark} has no words in its place")
    mend = "say in alt what the picture says, and set a background colour beneath a picture"
    if faults:
        return _judge(faults, "", mend)
    silent = [
        f"{picture.mark} of {picture.width:.0f} × {picture.height:.0f} pixels says nothing"
        for picture in views.plain.pictures
        if picture.alt is not None
        and not picture.alt.strip()
        and picture.width * picture.height >= _LARGE_PICTURE
    ]
    good = f"{len(views.plain.pictures)} pictures, nothing lost without them"
    return _judge(silent, good, mend, status="warn")


@_check(19, "links are marked")
def _links(views: Views) -> Verdict:
    def is_marked(link: SeenLink) -> bool:
        return (
            link.underlined
            or link.button
            or any(measure_contrast(line, link.around) >= _FAINT for line in link.borders)
        )

    return _judge(
        [
            f"{link} is told by its colour alone"
            for link in views.phone.links
            if link.text and not is_marked(link)
        ],
        f"{len(views.phone.links)} links, each with a line",
        "underline it, or give it a border below",
    )


@_check(20, "room for a thumb")
def _targets(views: Views) -> Verdict:
    links = views.phone.links
    faults = [
        f"the button {link} is {link.bottom - link.top:.0f} pixels high, not {BUTTON}"
        for link in links
        if link.button and link.bottom - link.top < BUTTON - 0.5
    ]
    faults += [
        f"{link} is {_height(link):.0f} pixels high, and too close to {other}"
        for link in links
        if not link.button and not link.sentence and _is_small(link)
        for other in links
        if other is not link and _is_crowded(link, other)
    ]
    return _judge(
        faults,
        f"{len(links)} links at {PHONE} pixels",
        f"add padding: buttons {BUTTON} pixels high, links in lists {TARGET} apart",
    )


@_check(28, "nothing is requested")
def _requests(views: Views) -> Verdict:
    strange = [
        address
        for address in views.requests
        if urlsplit(address).hostname not in views.picture_hosts
    ]
    known = len(views.requests) - len(strange)
    return _judge(
        [f"it asks for {address[:80]}" for address in strange],
        f"{known} of your own pictures, 0 other requests" if known else "0 requests in Chromium",
        "a mail that loads something tells who read it and when; take it out",
    )


def _sideways(survey: Survey) -> list[str]:
    """Name what makes a page wider than its window."""
    if survey.scroll_width <= survey.width:
        return []
    named = [f"{culprit} is {culprit.width:.0f} pixels wide" for culprit in survey.culprits]
    return named or [f"it is {survey.scroll_width} pixels wide in a window of {survey.width}"]


def _missing(before: Survey, after: Survey) -> list[str]:
    """Name texts that are seen in one look, and less often or not at all in another."""
    gone = Counter(text.text for text in before.texts) - Counter(t.text for t in after.texts)
    return [text if len(text) <= 40 else f"{text[:40]}…" for text in gone]


def _height(link: SeenLink) -> float:
    return link.bottom - link.top


def _is_small(link: SeenLink) -> bool:
    return min(_height(link), link.right - link.left) < TARGET


def _is_crowded(link: SeenLink, other: SeenLink) -> bool:
    """Tell whether a circle of `TARGET` around a small link meets another (WCAG 2.2, 2.5.8)."""
    x, y = (link.left + link.right) / 2, (link.top + link.bottom) / 2
    if _is_small(other):
        gap_x, gap_y = x - (other.left + other.right) / 2, y - (other.top + other.bottom) / 2
        return (gap_x**2 + gap_y**2) < TARGET**2
    gap_x = max(other.left - x, 0, x - other.right)
    gap_y = max(other.top - y, 0, y - other.bottom)
    return (gap_x**2 + gap_y**2) < (TARGET / 2) ** 2
