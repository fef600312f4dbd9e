"""Pictures of a mail as its readers see it, one for each look that differs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from newsletter.render.browser import Look, Viewer, use_browser

PICTURES = {
    f"{width}-{name}": look
    for width in (640, 320)
    for name, look in (
        ("light", Look(width=width)),
        ("dark", Look(width=width, scheme="dark")),
        ("images-off", Look(width=width, images=False)),
        ("styles-removed", Look(width=width, styles=False)),
    )
}
"""Every picture of a preview, by the name that its file bears."""


def take_pictures(
    html: str, *, on_picture: Callable[[str], None] = lambda _name: None
) -> dict[str, bytes]:
    """Take a PNG of each of `PICTURES`; `on_picture` is told which one comes next.

    Raises `BrowserError` where there is no browser.
    """

    def take_all(viewer: Viewer) -> dict[str, bytes]:
        taken: dict[str, bytes] = {}
        unasked: set[Look] = set()
        for name, look in PICTURES.items():
            on_picture(name)
            same = replace(look, images=True)
            if same in unasked:  # a mail that asks for no picture is the same without
                taken[name] = next(taken[other] for other in taken if PICTURES[other] == same)
                continue
            with viewer.show(html, look) as shown:
                taken[name] = shown.take_picture()
            if not shown.requests:
                unasked.add(look)
        return taken

    return use_browser(take_all)
