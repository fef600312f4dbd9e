"""Whether it is small enough: Gmail clips a mail near 102 KB, and drops styles over 16 KB."""

from __future__ import annotations

from newsletter.render.preflight.mail import Check, Mail
from newsletter.render.preflight.report import Verdict
from newsletter.render.selection import LARGE_HTML_BYTES, MAX_HTML_BYTES

MAX_STYLE_BYTES = 12_000


def check_size(mail: Mail) -> Verdict:
    """16: what is clipped takes the way out of the list with it."""
    size = len(mail.source.encode())
    detail = f"{size:,} bytes of {MAX_HTML_BYTES:,}"
    if size <= LARGE_HTML_BYTES:
        return Verdict("pass", detail)
    mend = "lower edition.max_briefs, or shorten the briefs"
    return Verdict("fail" if size > MAX_HTML_BYTES else "warn", detail, mend)


def check_styles(mail: Mail) -> Verdict:
    """17: beyond the limit all styles go, not only those at the end."""
    size = sum(len(css.encode()) for css in mail.tree.xpath("//style/text()"))
    detail = f"{size:,} bytes of {MAX_STYLE_BYTES:,}"
    if size <= MAX_STYLE_BYTES:
        return Verdict("pass", detail)
    return Verdict("fail", detail, "shorten the rules in <mj-style>")


CHECKS: tuple[Check, ...] = (
    (16, "size of the HTML", check_size),
    (17, "size of the styles", check_styles),
)
