"""The README's pictures: the demo's digest as Chromium shows it, on a desk and on a phone.

    newsletter demo --no-serve --out out
    python -m newsletter.demo.picture out/*jonas*.html newsletter/demo/looks

That reader chose nothing. In light the front page, in dark the first story. It needs the extra
`browser` and Chromium.
"""

from __future__ import annotations

import sys
from pathlib import Path

from newsletter.render.browser import Look, Viewer, use_browser

_HEIGHT = 1100
_LOOKS = (
    Look(width=640),
    Look(width=320),
    Look(width=640, scheme="dark"),
    Look(width=320, scheme="dark"),
)


def take_pictures(html: str, folder: Path) -> list[Path]:
    """Write four PNGs of a message, and give their names."""
    folder.mkdir(parents=True, exist_ok=True)
    return use_browser(lambda viewer: [_take(viewer, html, folder, look) for look in _LOOKS])


def _take(viewer: Viewer, html: str, folder: Path, look: Look) -> Path:
    path = folder / f"digest-{look.width}-{look.scheme}.png"
    with viewer.show(html, look) as shown:
        top = 0
        if look.scheme == "dark":  # the front page once, and then a story
            story = shown.page.locator("h2").nth(1).bounding_box()
            top = int(story["y"]) - 60 if story else 0
        clip = {"x": 0, "y": top, "width": look.width, "height": _HEIGHT}
        shown.page.screenshot(path=path, full_page=True, clip=clip)  # type: ignore[arg-type]
    return path


if __name__ == "__main__":
    for name in take_pictures(Path(sys.argv[1]).read_text(encoding="utf-8"), Path(sys.argv[2])):
        print(name)
