"""Chromium, to show a mail in the ways that mail programs show it.

Nothing leaves the machine: Chromium is started without background traffic and resolves no
name; the mail is the answer to the one request for `_ADDRESS`, and whatever else it asks for
is written down and refused. Only pictures are answered, with a grey box, unless they are off:
so a layout is seen as with its pictures, and nobody learns that it was looked at. The mail's
own scripts do not run; the document comes with a policy that refuses them.

Playwright and Chromium are not needed to send mail. They are imported and looked for when
they are first used, and `find_fault` says in one line what is missing and how to get it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from newsletter.errors import BrowserError

if TYPE_CHECKING:
    from playwright.sync_api import Browser, CDPSession, Page, Route

_Result = TypeVar("_Result")

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-sync",
    "--metrics-recording-only",
    "--no-first-run",
    "--no-pings",
    "--font-render-hinting=none",
    # Not even a name is asked for, whatever Chromium itself or a preconnect may want.
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
_ADDRESS = "http://mail.invalid/"  # RFC 6761: nobody's, ever
_POLICY = "script-src 'none'; form-action 'none'"
_HEIGHT = 800
_TIMEOUT_MS = 20_000

# One grey pixel, stretched to the size that the mail gives the picture.
_GREY = bytes.fromhex("47494638396101000100800000b8b4acb8b4ac2c00000000010001000002024401003b")

_NOTE_REFUSALS = """
window.newsletterRefused = [];
document.addEventListener('securitypolicyviolation', e => newsletterRefused.push(e.blockedURI));
"""

_REMOVE_STYLES = "document.querySelectorAll('style, link').forEach(e => e.remove())"

# What Outlook.com does to a mail in its dark mode: it turns the lightness of every colour that
# an element has of its own, inline or by a style, and keeps the old one in an attribute, by
# which a mail can tell. All colours are read before any is set: the others are inherited.
_RECOLOUR = """() => {
  const turned = css => {
    const [r, g, b, a = 1] = (css.match(/[\\d.]+/g) || []).map(Number);
    const shift = 255 - Math.max(r, g, b) - Math.min(r, g, b);  // hue and saturation stay
    return `rgba(${r + shift}, ${g + shift}, ${b + shift}, ${a})`;
  };
  const found = [...document.body.querySelectorAll('*')].map(e => {
    const {color, backgroundColor} = getComputedStyle(e);
    const own = e.style.color || e.hasAttribute('color')
      || color !== getComputedStyle(e.parentElement).color;
    return [e, own && color, !/, 0\\)$|^transparent/.test(backgroundColor) && backgroundColor];
  });
  document.body.dataset.ogsc = document.body.dataset.ogsb = '';
  for (const [e, color, ground] of found) {
    if (color) {
      e.dataset.ogsc = e.style.color;
      e.style.color = turned(color);
    }
    if (ground) {
      e.dataset.ogsb = e.style.backgroundColor;
      e.style.backgroundColor = turned(ground);
    }
  }
}"""

# Sizes are read before any is set: most are inherited.
_ENLARGE_TEXT = """factor => {
  const all = [document.body, ...document.body.querySelectorAll('*')].map(e => {
    const {fontSize, lineHeight} = getComputedStyle(e);
    return [e, parseFloat(fontSize), parseFloat(lineHeight)];
  });
  for (const [e, size, line] of all) {
    e.style.setProperty('font-size', `${size * factor}px`, 'important');
    if (line) e.style.setProperty('line-height', `${line * factor}px`, 'important');
  }
}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One way in which a mail may be seen."""

    width: int = 640
    """CSS pixels of the window, before `zoom`."""
    scheme: Literal["light", "dark"] = "light"
    forced_dark: bool = False
    """Colours turned by the program itself (Chromium's WebContentsForceDark). It leaves a mail
    alone that is dark of its own accord, so the scheme has to be light."""
    outlook_dark: bool = False
    """Outlook.com's dark mode: colours rewritten, `data-ogsc` and `data-ogsb` set."""
    styles: bool = True
    """Without: only what is inline, as Gmail shows mail of accounts that are not its own."""
    images: bool = True
    text: float = 1
    """Size of the letters alone; 2 is 200 %."""
    zoom: int = 1
    """Size of everything: the window has `width` / `zoom` pixels."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A mail as it is shown in one look. `page` is Playwright's, for scripts and pictures."""

    page: Page
    session: CDPSession
    requests: list[str]
    """Addresses that the mail asked for. None was reached."""

    def take_picture(self) -> bytes:
        """Take a PNG of the whole length."""
        return self.page.screenshot(full_page=True, animations="disabled", caret="hide")

    def take_detail(self, left: float, top: float, width: float, height: float) -> str:
        """Take a PNG of a part, twice as large as it is shown; give it in base64."""
        clip = {"x": left, "y": top, "width": width, "height": height, "scale": 2}
        taken = self.session.send(
            "Page.captureScreenshot",
            {"format": "png", "clip": clip, "captureBeyondViewport": True},
        )
        return str(taken["data"])


class Viewer:
    """A running Chromium with one window. Bound to the thread in which it was opened."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._window: tuple[Page, CDPSession] | None = None
        self._answers = _Answers("", images=False)

    @contextmanager
    def show(self, html: str, look: Look) -> Iterator[Shown]:
        """Show a mail in one look for the length of a block; only one at a time.

        The window stays for the next: a new one takes longer than to show a mail in it.
        """
        page, session = self._window = self._window or self._open_window()
        try:
            page.set_viewport_size({"width": look.width // look.zoom, "height": _HEIGHT})
            page.emulate_media(color_scheme=look.scheme)
            session.send("Emulation.setAutoDarkModeOverride", {"enabled": look.forced_dark})
            self._answers = _Answers(html, images=look.images)
            page.goto(_ADDRESS, wait_until="load")
            requests = self._answers.requests
            requests += page.evaluate("newsletterRefused.filter(uri => uri !== 'inline')")
            if not look.styles:
                page.evaluate(_REMOVE_STYLES)
            if look.outlook_dark:
                page.evaluate(_RECOLOUR)
            if look.text != 1:
                page.evaluate(_ENLARGE_TEXT, look.text)
            yield Shown(page, session, requests)
        except BaseException:
            self._window = None  # it may be in any state
            page.context.close()
            raise

    def evaluate(self, script: str, argument: Any) -> Any:
        """Run a script on an empty page, where no mail can see or disturb it."""
        page = self._browser.new_page()
        try:
            page.set_default_timeout(_TIMEOUT_MS)
            return page.evaluate(script, argument)
        finally:
            page.close()

    def _open_window(self) -> tuple[Page, CDPSession]:
        context = self._browser.new_context(service_workers="block", accept_downloads=False)
        context.set_default_timeout(_TIMEOUT_MS)
        page = context.new_page()
        page.add_init_script(_NOTE_REFUSALS)
        page.route("**/*", lambda route: self._answers(route))
        return page, context.new_cdp_session(page)


class _Answers:
    """Answer the first request with the mail, write down and refuse all others."""

    def __init__(self, html: str, *, images: bool) -> None:
        self.requests: list[str] = []
        self._html, self._images = html, images
        self._is_served = False

    def __call__(self, route: Route) -> None:
        request = route.request
        if not self._is_served and request.url == _ADDRESS and request.is_navigation_request():
            self._is_served = True
            route.fulfill(
                body=self._html,
                content_type="text/html; charset=utf-8",
                headers={"Content-Security-Policy": _POLICY},
            )
            return
        self.requests.append(request.url)
        if self._images and request.resource_type == "image":
            route.fulfill(body=_GREY, content_type="image/gif")
        else:
            route.abort("aborted")  # a page that wants to go elsewhere stays


def find_chromium() -> str:
    """Give Chromium's file: what CHROMIUM names, else one on the PATH; "" if there is none."""
    named = os.environ.get("CHROMIUM", "")
    return next(filter(None, map(shutil.which, (named,) if named else _PROGRAMS)), "") or ""


def find_fault(*, axe: bool = False) -> str:
    """Say what is missing to show mail in Chromium, and how to get it; "" if nothing is.

    With `axe`, also what judges it for assistive technology.
    """
    for name, package, wanted in (
        ("Playwright", "playwright", True),
        ("axe-core", "axe_playwright_python", axe),
    ):
        if wanted and find_spec(package) is None:
            return f"{name} is missing: pip install 'newsletter[browser]'"
    if not find_chromium():
        named = os.environ.get("CHROMIUM", "")
        if named:
            return f"CHROMIUM names {named}, which is no program: correct or unset it"
        return "Chromium is missing: apt-get install chromium, or name its file in CHROMIUM"
    return ""


def use_browser(work: Callable[[Viewer], _Result]) -> _Result:
    """Do `work` with a Chromium that is started for it and ends with it.

    Raises `BrowserError` if there is none or it does not start. May be called where an event
    loop runs, which waits meanwhile: Playwright refuses to work in such a thread, so it gets
    another.
    """

    def do() -> _Result:
        with open_viewer() as viewer:
            return work(viewer)

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return do()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="browser") as pool:
        return pool.submit(do).result()


@contextmanager
def open_viewer() -> Iterator[Viewer]:
    """Start Chromium for the length of a block, in a thread without an event loop.

    Raises `BrowserError` as `use_browser` does.
    """
    if fault := find_fault():
        problem, _, mend = fault.partition(": ")
        raise BrowserError(problem, mend=mend)
    from playwright.sync_api import Error, sync_playwright

    program = find_chromium()
    with sync_playwright() as playwright:
        try:
            # Chromium's sandbox cannot be had by root; everybody else keeps it.
            browser = playwright.chromium.launch(
                executable_path=program, chromium_sandbox=os.geteuid() != 0, args=list(_FLAGS)
            )
        except Error as error:
            raise BrowserError(
                f"{program} did not start ({_first_reason(error.message)})",
                mend="try it by hand with --headless, or name another in CHROMIUM",
            ) from error
        try:
            yield Viewer(browser)
        except Error as error:
            raise BrowserError(f"{program} broke off ({_first_reason(error.message)})") from error
        finally:
            browser.close()


def _first_reason(message: str) -> str:
    """Find Chromium's own complaint in Playwright's log, else take its first line."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    said = (line.partition("[err]")[2].strip() for line in lines if "[err]" in line)
    fatal = next((line for line in said if "FATAL" in line or "rror" in line), "")
    return (fatal or (lines[0] if lines else "no reason given"))[:200].rstrip(".")
