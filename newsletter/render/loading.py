"""What a template would make a mail client load.

Mail from here loads nothing but pictures, and those from named hosts only: each request tells
its host who read what, when and where.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from urllib.parse import urlsplit

from newsletter.errors import Problem
from newsletter.render.origin import Place, Source
from newsletter.render.tokens import TOKEN, Tag, quote, read_tag

PICTURES = frozenset(("img", "mj-image"))
_LOADING = frozenset(
    ("background", "background-url", "dynsrc", "lowsrc", "ping", "poster", "src", "srcset")
)
_LOADING_BY_HREF = frozenset(("feimage", "image", "link", "use"))
_FILE_NAME = re.compile(r"\S+\.(?:avif|bmp|gif|jpe?g|png|svg|webp)", re.IGNORECASE)

_CSS_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_CSS_ESCAPE = re.compile(r"\\(?:([0-9A-Fa-f]{1,6})\s?|(.))")
_CSS_IMPORT = re.compile(r"@import\b[^;]*", re.IGNORECASE)
_CSS_LOADS = re.compile(
    r"""\burl\(\s*["']?\s*(?!["'\s)#]|data:)[^)"']*   # a path of its own is a request, too
      | ["'(\s](?:https?:)?//[\w\[][^\s)"']*""",
    re.IGNORECASE | re.VERBOSE,
)


def check_loading(tag: Tag, hosts: Set[str]) -> Iterator[Problem]:
    """Find what a tag would load; pictures may come from `hosts`."""
    for key, value in tag.attributes:
        name, value = key.lower(), (value or "").strip()
        if not value:
            continue
        if tag.name in PICTURES and name in {"src", "srcset"}:
            yield from _check_picture(tag, name, value, hosts)
        elif name in _LOADING or (name == "href" and tag.name in _LOADING_BY_HREF):
            yield tag.place.say(
                f'<{tag.name}> loads {name}="{quote(value)}"',
                "mail from here loads nothing, take it out",
            )
        elif name == "style":
            yield from check_css(value, tag.place, f"the style of <{tag.name}>")


def _check_picture(tag: Tag, name: str, value: str, hosts: Set[str]) -> Iterator[Problem]:
    addresses = [value] if name == "src" else [c.split()[0] for c in value.split(",") if c.strip()]
    for address in addresses:
        host = _host(address)
        if host is None:
            yield tag.place.say(
                f'<{tag.name}> has {name}="{quote(address)}", which is no web address',
                "write https:// and the host ahead of it",
            )
        elif host not in hosts:
            yield tag.place.say(
                f"<{tag.name}> loads a picture from {quote(host)}",
                f"pictures come from {' or '.join(sorted(hosts))} only"
                if hosts
                else "mail from here loads nothing, take it out",
            )


def _host(address: str) -> str | None:
    """Give the host of an http(s) address as a mail client reads it; None for any other."""
    plain = re.sub(r"[\x00-\x20\x7f]", "", address).replace("\\", "/")
    try:
        parts = urlsplit("https:" + plain if plain.startswith("//") else plain)
        host = parts.hostname
    except ValueError:
        return None
    return host if parts.scheme in {"http", "https"} and host else None


def check_comment(source: Source, at: int, comment: str, hosts: Set[str]) -> Iterator[Problem]:
    """Look into a conditional comment, which Outlook reads as markup: it may load, too."""
    if not re.match(r"\s*\[if\b", comment):
        return
    for token in TOKEN.finditer(comment):
        if token["tag"] and not token["close"]:
            place = source.place(at + token.start())
            tag = read_tag(token["tag"].lower(), token["attributes"], place)
            yield from check_loading(tag, hosts)
    for style in re.finditer(r"<style[^>]*>(.*?)</style", comment, re.DOTALL | re.IGNORECASE):
        yield from check_css(style[1], source.place(at + style.start()), "a style")


def check_css(css: str, place: Place, what: str) -> Iterator[Problem]:
    """Find what rules or declarations would load; `what` names them."""
    plain = _CSS_ESCAPE.sub(_unescape, _CSS_COMMENT.sub(" ", css))
    if _CSS_IMPORT.search(plain):
        yield place.say(f"{what} fetches another with @import", "write its rules out here")
    for loads in _CSS_LOADS.finditer(_CSS_IMPORT.sub("", plain)):
        yield place.say(
            f"{what} loads {quote(loads[0].strip())}",
            "mail from here loads nothing, take it out",
        )


def _unescape(escape: re.Match[str]) -> str:
    """Read an escape of CSS (css-syntax-3 §4.3.7); NUL and surrogates stand for U+FFFD."""
    code = int(escape[1] or "0", 16)
    if not escape[1]:
        return escape[2]
    return chr(code) if 0 < code < 0xD800 or 0xDFFF < code < 0x110000 else "\ufffd"


def check_alt(tag: Tag) -> Iterator[Problem]:
    """Ask a picture for its words, since many readers never see it."""
    alt = tag.get("alt")
    if alt is None:
        yield tag.place.say(
            f"<{tag.name}> has no alt",
            'say in it what the picture shows, or alt="" for an ornament',
        )
    elif _FILE_NAME.fullmatch(alt.strip()):
        yield tag.place.say(f'<{tag.name}> has alt="{quote(alt)}"', "say what the picture shows")
    if not (tag.get("src") or "").strip():
        yield tag.place.say(f"<{tag.name}> has no src", "name a picture, or take it out")
