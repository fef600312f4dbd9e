"""Which brief is the same brief: keys, and what outweighs them.

A brief is known by several keys, and any of them finds it again:

    id:…     what its publisher calls it. One that is unique in the world (a UUID, a URI, a
             long hexadecimal number) counts everywhere; any other within its source only.
    link:…   its own page, without fragment and tracking parameters
    hash:…   title and summary, with case and spacing folded
    text:…   the whole document, letter for letter; stored only for a change that came too late
    place:…  source, file and position in the file: an edited file is the same brief

id, hash and text are the publisher's word or the very same text; they decide. A link or a
place may be used again for something else (`latest.txt`, a page that every entry links to),
so they do not count against the evidence that it is another story:

- a link does not, if both have ids of the same source, these differ, and the texts are unlike;
- a place does not, if the ids differ; if the links differ and the texts are unlike; or if the
  texts are unlike and the old one went into an edition, where it cannot be replaced;
- an id or a link that stands on unlike entries of one and the same reading names none of them.

A place counts only when nothing better does, and only for a brief that nothing better was
found for: a story put in at the top of a file moves the others, it does not replace them.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import urlsplit

from rapidfuzz import fuzz

from newsletter.briefs.document import brief_to_document
from newsletter.briefs.model import Brief
from newsletter.briefs.sources.reading import Item

_PORTS = {"http": 80, "https": 443}
# What mail programs, advertisers and networks add to tell where a reader came from. A name that
# a site may use for itself ("ref", "source", "id", "page") is none, however often it is one.
_TRACKERS = """
    fbclid gclid gclsrc gbraid wbraid dclid msclkid yclid ymclid twclid ttclid li_fat_id igshid igsh
    epik scid rdt_cid irclickid s_kwcid _openstat _gl _ga
    mc_cid mc_eid _hsenc _hsmi __hstc __hssc __hsfp hsctatracking mkt_tok vero_id vero_conv
    _kx ck_subscriber_id ml_subscriber ml_subscriber_hash oly_anon_id oly_enc_id bsft_clkid bsft_uid
    at_medium at_campaign at_custom1 at_custom2
"""
_TRACKING = re.compile(
    rf"(?:(?:utm|mtm|matomo)_[^=]*|pk_(?:campaign|kwd|source|medium|content|cid)"
    rf"|{'|'.join(_TRACKERS.split())})(?:=.*)?",
    re.IGNORECASE,
)
_WORLDWIDE = re.compile(
    r"[a-z][a-z0-9+.-]*:.+"
    r"|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    r"|[0-9a-f]{16,}",
    re.IGNORECASE | re.DOTALL,
)
_ALIKE_PERCENT = 62  # unrelated stories reach about 55, reworked ones stay above 70
_COMPARED_CHARS = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A brief that is stored already, as far as it matters here."""

    brief_id: int
    source: str
    brief: Brief
    in_edition: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What one item of a reading turned out to be."""

    keys: tuple[str, ...]
    """All that it is to be known by from now on."""
    known: Known | None = None
    """The stored brief that it is; None for a new one."""
    repeats: bool = False
    """It is the same brief as an earlier item of this reading."""
    replaces: bool = False
    """It stands in the place of `known`, which it shares nothing else with."""


def canonical_link(link: str) -> str:
    """Give a web address in the form in which two of them are compared; "" for none.

    Only what cannot change the page is touched: path and ordinary parameters stay as they are.
    """
    try:
        parts = urlsplit("".join(link.split()))
        scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
    except ValueError:
        return ""
    if scheme not in _PORTS or not host:
        return ""
    host = f"[{host}]" if ":" in host else host.lower()
    at_port = f":{port}" if port not in {None, _PORTS[scheme]} else ""
    kept = [pair for pair in parts.query.split("&") if pair and not _TRACKING.fullmatch(pair)]
    query = f"?{'&'.join(kept)}" if kept else ""
    return f"{scheme}://{host}{at_port}{parts.path or '/'}{query}"


def build_keys(item: Item, *, source: str) -> tuple[str, ...]:
    """Give the keys of an item, the strongest first."""
    brief = item.brief
    document = json.dumps(brief_to_document(brief), sort_keys=True)
    story = f"{_folded(brief.title)}\n{_folded(brief.summary)}"
    keys = [f"text:{_digest(document)}", f"hash:{_digest(story)}"]
    if brief.id:
        scope = "" if _WORLDWIDE.fullmatch(brief.id) else f"{source}#"
        keys.insert(0, f"id:{scope}{brief.id}")
    if link := canonical_link(brief.link):
        keys.append(f"link:{link}")
    if item.place:
        keys.append(f"place:{source}#{item.place}")
    return tuple(keys)


def is_alike(one: Brief, other: Brief) -> bool:
    """Decide whether two texts may tell the same story, by the words that they share."""
    texts = (f"{_folded(b.title)} {_folded(b.summary)}"[:_COMPARED_CHARS] for b in (one, other))
    return fuzz.token_set_ratio(*texts) >= _ALIKE_PERCENT


def decide_matches(
    items: Sequence[Item],
    keys_of_items: Sequence[tuple[str, ...]],
    *,
    source: str,
    known: Mapping[str, Known],
) -> tuple[Match, ...]:
    """Decide for each item of a reading which stored brief it is; `known` is by key."""
    all_keys = _unambiguous_keys(items, keys_of_items)
    matches: list[Match | None] = []
    claimed: set[int] = set()
    seen: set[str] = set()
    for item, keys in zip(items, all_keys, strict=True):
        sure = [key for key in keys if not key.startswith("place:")]
        found = next((known[k] for k in sure if _agrees(k, item, known.get(k), source)), None)
        if not seen.isdisjoint(sure) or (found and found.brief_id in claimed):
            matches.append(Match(keys=keys, known=found, repeats=True))
        elif found:
            claimed.add(found.brief_id)
            matches.append(Match(keys=keys, known=found))
        else:
            matches.append(None)
        seen.update(sure)
    return tuple(
        match or _match_place(item, keys, source=source, known=known, claimed=claimed)
        for match, item, keys in zip(matches, items, all_keys, strict=True)
    )


def _match_place(
    item: Item,
    keys: tuple[str, ...],
    *,
    source: str,
    known: Mapping[str, Known],
    claimed: Set[int],
) -> Match:
    old = known.get(keys[-1]) if item.place else None
    if not old or old.brief_id in claimed or _ids_differ(old, item, source):
        return Match(keys=keys)
    alike = is_alike(old.brief, item.brief)
    links = {canonical_link(brief.link) for brief in (old.brief, item.brief)} - {""}
    if not alike and (len(links) == 2 or old.in_edition or old.source != source):
        return Match(keys=keys)
    return Match(keys=keys, known=old, replaces=not alike)


def _agrees(key: str, item: Item, old: Known | None, source: str) -> bool:
    if old is None:
        return False
    again = key.startswith("link:") and _ids_differ(old, item, source)
    return not again or is_alike(old.brief, item.brief)


def _ids_differ(old: Known, item: Item, source: str) -> bool:
    ids = {old.brief.id, item.brief.id} - {""}
    return old.source == source and len(ids) == 2


def _unambiguous_keys(
    items: Sequence[Item], all_keys: Sequence[tuple[str, ...]]
) -> list[tuple[str, ...]]:
    first: dict[str, Brief] = {}
    ambiguous: set[str] = set()
    for item, keys in zip(items, all_keys, strict=True):
        for key in keys:
            if key.startswith(("id:", "link:")):
                other = first.setdefault(key, item.brief)
                if other is not item.brief and not is_alike(other, item.brief):
                    ambiguous.add(key)
    return [tuple(key for key in keys if key not in ambiguous) for keys in all_keys]


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
