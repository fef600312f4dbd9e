"""Parse a sitemap, or the links of a web page, in a process of its own (`apart`).

Sitemaps are read by sitemaps.org/protocol and Google's extension for news, whatever prefix or
namespace they give them: a sitemap that is cut off gives what it has.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urldefrag, urljoin

from lxml import etree, html

from newsletter.briefs.sources.apart import serve

MAX_LEADS = 2_000
_MAX_UNPACKED_BYTES = 50_000_000
_MAX_TEXT_CHARS = 2_000


def parse_leads(about: Mapping[str, Any], body: bytes) -> dict[str, Any]:
    """Read what a document leads to.

    `about` has the document's `url`, and `what` it is: "sitemap" or "page". Gives `leads` (see
    `pages.Lead`), `sitemaps` (of an index), `left_out` and `flaw`.
    """
    try:
        if body.startswith(b"\x1f\x8b"):  # sitemap.xml.gz
            body = zlib.decompressobj(wbits=31).decompress(body, _MAX_UNPACKED_BYTES)
        if about["what"] == "page":
            found = {"leads": _links(body, about["url"])}
        elif body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"http"):
            found = {"leads": _listed(body, about["url"])}
        else:
            found = _sitemap(body, about["url"])
    except (etree.LxmlError, ValueError, zlib.error) as error:
        return {"flaw": f"cannot be read ({str(error)[:200]})"}
    leads = found.get("leads", [])
    return {
        "leads": leads[:MAX_LEADS],
        "sitemaps": found.get("sitemaps", []),
        "left_out": max(0, len(leads) - MAX_LEADS),
        "flaw": found.get("flaw", ""),
    }


def _sitemap(body: bytes, url: str) -> dict[str, Any]:
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, recover=True, remove_comments=True
    )
    root = etree.fromstring(body, parser)
    flaw = str(parser.error_log.last_error.message) if parser.error_log.last_error else ""
    match etree.QName(root).localname if root is not None else "":
        case "urlset":
            entries = root.findall("{*}url")
            return {"leads": [_lead(entry, url) for entry in entries], "flaw": flaw}
        case "sitemapindex":
            inner = [_lead(entry, url) for entry in root.findall("{*}sitemap")]
            return {"sitemaps": inner, "flaw": flaw}
    return {"flaw": "is no sitemap"}


def _lead(entry: etree._Element, url: str) -> dict[str, Any]:
    changed = _text(entry, "{*}lastmod")
    published = _text(entry, "{*}news/{*}publication_date")
    topics = _text(entry, "{*}news/{*}keywords").split(",")
    return {
        "url": _join(url, _text(entry, "{*}loc")),
        "changed": changed or published,
        "title": _text(entry, "{*}news/{*}title"),
        "published_seconds": _seconds(published),
        "dated_seconds": _seconds(published or changed),
        "topics": [topic.strip() for topic in topics if topic.strip()],
        "outlet": _text(entry, "{*}news/{*}publication/{*}name"),
    }


def _links(body: bytes, url: str) -> list[dict[str, Any]]:
    root = html.document_fromstring(body, parser=html.HTMLParser(no_network=True))
    base = next((element.get("href", "") for element in root.iter("base")), "")
    links = [element.get("href", "") for element in root.iter("a")]
    return _bare_leads([link for link in links if link], _join(url, base) or url)


def _listed(body: bytes, url: str) -> list[dict[str, Any]]:
    return _bare_leads(body.decode("utf-8-sig", "replace").split(), url)


def _bare_leads(links: list[str], url: str) -> list[dict[str, Any]]:
    found = (urldefrag(_join(url, link))[0] for link in links)
    return [{"url": link} for link in dict.fromkeys(found) if link.startswith(("http:", "https:"))]


def _text(entry: etree._Element, path: str) -> str:
    return " ".join((entry.findtext(path) or "").split())[:_MAX_TEXT_CHARS]


def _join(base: str, link: str) -> str:
    try:
        return urljoin(base, link)
    except ValueError:
        return ""


def _seconds(value: str) -> float | None:
    """Read a W3C date and time; one without a time is the end of its day, none is None."""
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


if __name__ == "__main__":
    serve(parse_leads)
