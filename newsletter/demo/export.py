"""Received messages as files: .eml byte for byte, .html and .txt to look at, and a list."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from newsletter.demo.message import ReceivedMessage, format_inert_html, parse_message
from newsletter.demo.views import Row, format_list

_UNSAFE = re.compile(r"[^A-Za-z0-9@._+-]")
_MAX_RECIPIENT_CHARACTERS = 80


def write_messages(messages: Iterable[ReceivedMessage], directory: Path) -> list[Path]:
    """Write every message into `directory` and give the files' paths, `index.html` first.

    A part that a message lacks gets no file. The .html files are guarded against scripts and
    loading; the .eml files are exactly what the SMTP client sent.
    """
    directory.mkdir(parents=True, exist_ok=True)
    index = directory / "index.html"
    paths = [index]
    rows = []
    for message in messages:
        opened = parse_message(message.raw)
        contents = [
            ("HTML", ".html", format_inert_html(opened.html) if opened.html else ""),
            ("Plain text", ".txt", opened.plain),
        ]
        links = []
        for label, suffix, text in contents:
            if text:
                path = directory / (format_name(message) + suffix)
                path.write_bytes(text.encode())
                paths.append(path)
                links.append((label, quote(path.name)))
        source = directory / (format_name(message) + ".eml")
        source.write_bytes(message.raw)
        paths.append(source)
        links.append(("Source", quote(source.name)))
        rows.append(Row(message=message, opened=opened, href=links[0][1], others=tuple(links)))
    index.write_text(format_list(rows), encoding="utf-8")
    return paths


def format_name(message: ReceivedMessage) -> str:
    """Give a file name without its suffix, unique by number and safe on every file system."""
    recipient = _UNSAFE.sub("_", message.recipient)[:_MAX_RECIPIENT_CHARACTERS]
    return f"{message.number:03d}-{recipient}"
