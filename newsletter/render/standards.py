"""The compiler's HTML brought into line with the standard, without taking from any client.

MJML writes for Word what no standard knows: namespaces on <html>, and `mso-` properties among
the rules for everybody. Both are moved into conditional comments, where Word finds them and
nobody else looks. And it paints the preheader white, which counts as hidden text with filters
of spam; `display:none` hides it from readers, and every client knows that.
"""

from __future__ import annotations

import re

_NAMESPACE = re.compile(r"""\s(xmlns(?::\w+)?)=(["'])([^"']*)\2""")
_HTML = re.compile(r"<html\b[^>]*>")
_OFFICE = "<o:OfficeDocumentSettings>"
_WORDS_RULE = re.compile(r"(collapse;) mso-table-lspace: 0pt; mso-table-rspace: 0pt;")
_VML = re.compile(r"<v:(\w+)\b(?![^>]*\sxmlns:v=)")
_WHITE_PREHEADER = re.compile(r"(<div style=.display:none;font-size:1px;)color:#ffffff;")
_RESETS_END = "</style>"
_WORDS_RESETS = (
    '\n<!--[if mso]>\n<style type="text/css">'
    "table, td { mso-table-lspace: 0pt; mso-table-rspace: 0pt; }</style>\n<![endif]-->"
)


def conform(html: str) -> str:
    """Move what is for Word alone to where Word alone reads it; leave the preheader uncoloured."""
    root = _HTML.search(html)
    if root:
        spaces = {name: value for name, _, value in _NAMESPACE.findall(root[0])}
        html = html.replace(root[0], _NAMESPACE.sub("", root[0]), 1)
        if office := spaces.get("xmlns:o"):
            html = html.replace(_OFFICE, f'<o:OfficeDocumentSettings xmlns:o="{office}">', 1)
        if vml := spaces.get("xmlns:v"):
            html = _VML.sub(rf'<v:\1 xmlns:v="{vml}"', html)
    html = _WHITE_PREHEADER.sub(r"\1", html, count=1)
    if _WORDS_RULE.search(html):
        html = _WORDS_RULE.sub(r"\1", html, count=1)
        html = html.replace(_RESETS_END, _RESETS_END + _WORDS_RESETS, 1)
    return html
