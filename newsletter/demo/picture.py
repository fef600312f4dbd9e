"""The README's picture: a digest of the demo as Chromium shows it, light beside dark.

    newsletter demo --no-serve --out out
    python -m newsletter.demo.picture out/001-*.html newsletter/demo/digest.png

It needs the `test` extra (Playwright) and the system's Chromium.
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

_WIDTH, _HEIGHT = 600, 1150
_PAGE = """<body style="margin:0;display:flex">
<img src="{light}" width="{width}"><img src="{dark}" width="{width}"></body>"""
_QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def take_picture(html: Path, picture: Path, chromium: str = "/usr/bin/chromium") -> None:
    """Write a PNG of a message: its top in light, its first story in dark."""
    shots = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(_QUIET))
        for scheme in ("light", "dark"):
            page = browser.new_page(
                viewport={"width": _WIDTH, "height": _HEIGHT},
                color_scheme="dark" if scheme == "dark" else "light",
            )
            page.goto(html.absolute().as_uri())
            shots[scheme] = picture.with_suffix(f".{scheme}.png")
            if scheme == "dark":  # the front page once, and below it a story
                page.locator("h2").nth(1).scroll_into_view_if_needed()
                page.mouse.wheel(0, _HEIGHT - 120)
                page.wait_for_timeout(500)
            page.screenshot(path=shots[scheme])
        both = browser.new_page(viewport={"width": 2 * _WIDTH, "height": _HEIGHT})
        page_file = picture.with_suffix(".both.html")
        names = {scheme: shot.name for scheme, shot in shots.items()}
        page_file.write_text(_PAGE.format(width=_WIDTH, **names), encoding="utf-8")
        both.goto(page_file.absolute().as_uri())
        both.screenshot(path=picture)
        browser.close()
    for leftover in (*shots.values(), page_file):
        leftover.unlink()


if __name__ == "__main__":
    take_picture(Path(sys.argv[1]), Path(sys.argv[2]))
