"""HTML as others write it → text. Pure."""

from __future__ import annotations

import re
from html import unescape

import nh3

_BLOCKS = {
    *("address", "article", "aside", "blockquote", "dd", "div", "dl", "dt", "figcaption"),
    *("figure", "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main"),
    *("nav", "ol", "p", "pre", "section", "table", "tbody", "td", "tfoot", "th", "thead"),
    *("tr", "ul"),
}
_UNSEEN = {"script", "style", "template", "noscript", "title", "iframe", "object", "svg", "math"}
_BLOCK_TAG = re.compile(rf"</?(?:{'|'.join(sorted(_BLOCKS))})\b[^>]*>")
_MARKUP = re.compile(r"<(?:/?[a-z][a-z0-9]*(?:\s[^<>]*)?/?|!--.*?--)>", re.IGNORECASE | re.DOTALL)


def html_to_text(html: str) -> str:
    """Reduce HTML to text: a block becomes a paragraph, `<br>` a line break.

    Text without any markup keeps its own line breaks.
    """
    if not _MARKUP.search(html):
        return unescape(html).strip()
    flat = " ".join(html.split())  # line breaks mean nothing between tags
    kept = nh3.clean(flat, tags=_BLOCKS | {"br"}, attributes={}, clean_content_tags=_UNSEEN)
    lines = _BLOCK_TAG.sub("\n\n", kept).replace("<br>", "\n").split("\n")
    text = unescape("\n".join(line.strip() for line in lines))
    return re.sub(r"\n{3,}", "\n\n", text).strip()
