"""Programs that follow links and are nobody: what filters, previews and monitors call themselves.

Many call themselves a browser; `clicks` tells those by what they do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_WORDS = (
    # what honest ones have in their names
    *("bot", "crawl", "spider", "scan", "preview", "prefetch", "monitor", "headless", "fetch"),
    *("validator", "link check", "linkcheck", "virustotal", "urlscan", "phish", "http client"),
    # libraries and tools
    *("curl", "wget", "python", "httpx", "aiohttp", "okhttp", "go-http-client", "java/", "ruby"),
    *("libwww", "perl", "php", "guzzle", "node", "axios", "apache-httpclient", "powershell"),
    # filters of mail
    *("barracuda", "mimecast", "proofpoint", "safelinks", "microsoft office", "ms-office"),
    *("msoffice", "fireeye", "trellix", "trend micro", "trendmicro", "zscaler"),
    *("symantec", "messagelabs", "cisco", "ironport", "sophos", "forcepoint", "fortinet"),
    *("cloudmark", "bitdefender", "kaspersky", "avast", "google-safety", "googleimageproxy"),
    *("yahoomailproxy", "yahoo! slurp", "appengine-google", "google web"),
    # previews of messengers and networks
    *("facebookexternalhit", "facebookcatalog", "meta-external", "whatsapp", "slack", "discord"),
    *("embedly", "iframely", "mastodon", "pleroma", "misskey", "skype", "ia_archiver", "uptime"),
)
_NAMES = re.compile("|".join(map(re.escape, _WORDS)))
_AHEAD = re.compile("prefetch|prerender|preview|preload")
_SAYING = ("sec-purpose", "purpose", "x-purpose", "x-moz")


def is_program(agent: str) -> bool:
    """Tell whether a browser's name is that of a program that nobody sits at; "" is one. Pure."""
    return not agent.strip() or bool(_NAMES.search(agent.lower()))


def is_ahead(headers: Mapping[str, str]) -> bool:
    """Tell whether a page is fetched before anybody asked for it. Pure."""
    return any(_AHEAD.search(headers.get(name, "").lower()) for name in _SAYING)
