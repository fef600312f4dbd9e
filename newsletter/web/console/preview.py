"""An edition as any reader gets it: on a desk and on a phone, light and dark, in plain text.

The mail stands in a sandboxed frame, under a policy of its own: no script runs in it, no form is
sent, nothing is loaded but pictures of `edition.picture_hosts`, and it cannot reach the page around
it. Its links lead nowhere: they would act in a reader's name.
"""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import urlencode

from fastapi import FastAPI, Request
from starlette.responses import HTMLResponse, Response

from newsletter.audience.address import build_key
from newsletter.audience.reader import Choices, Reader
from newsletter.audience.subscribers import read_subscriber
from newsletter.editions.lifecycle import RELEASED
from newsletter.editions.shelf import EditionRecord, load_compiled
from newsletter.errors import RefusedError
from newsletter.mail import Message, decode_message
from newsletter.press import Press
from newsletter.press.addressing import addresser, build_addresser, letterhead_of
from newsletter.render.compiled import CompiledEdition
from newsletter.web.console.editions import find_named
from newsletter.web.console.gate import Visit
from newsletter.web.console.pages import HEADERS, Frame

_WIDTHS = ("phone", "desktop")
_SCHEMES = ("light", "dark")
_DARK = re.compile(r"\(\s*prefers-color-scheme\s*:\s*dark\s*\)", re.IGNORECASE)


def add_preview(app: FastAPI, press: Press, frame: Frame) -> None:
    """Add the preview and the frame of it."""
    database = press.database

    def read(name: str, reader: str) -> tuple[EditionRecord, Message, str]:
        """Give an edition's copy for the reader with an address, else for one who chose nothing."""
        sample = Reader(subscriber_id=0, email="reader@example.org", choices=Choices())
        said = ""
        with database.reading() as connection:
            record = find_named(connection, name)
            if not record.has_compiled:
                raise RefusedError(
                    f"the edition of {record.name} is {record.state}: there is nothing to show"
                )
            found = read_subscriber(connection, build_key(reader.strip())) if reader else None
            compiled = CompiledEdition.load(load_compiled(connection, record.id))
        if reader and found is None:
            said = "No reader has that address; this is the copy of one who chose nothing."
        if found:  # of nobody: the links of a preview must do nothing in their name
            sample = replace(
                sample,
                email=found.email,
                name=found.name,
                choices=found.choices,
                fields=found.fields,
            )
        if record.state in RELEASED:
            return record, addresser(press, record.id).address(sample), said
        letterhead = letterhead_of(press, record, press.now())
        return record, build_addresser(press, compiled, letterhead).address(sample), said

    @app.get("/editions/{name}/preview")
    def show_preview(request: Request, name: str) -> Response:
        visit: Visit = request.state.visit
        asked = request.query_params
        reader = asked.get("reader", "")[:320]
        record, message, said = read(name, reader)
        width = asked.get("width", "") if asked.get("width") in _WIDTHS else "desktop"
        scheme = asked.get("scheme", "") if asked.get("scheme") in _SCHEMES else "light"
        is_plain = asked.get("form") == "plain"
        plain, _ = decode_message(message.content)
        query = urlencode({"reader": reader, "scheme": scheme})
        return frame.show(
            "preview.html.j2",
            visit,
            record=record,
            said=said,
            reader=reader,
            width=width,
            scheme=scheme,
            is_plain=is_plain,
            plain=plain,
            bytes=len(message.content),
            frame_url=f"{frame.root}/editions/{record.name}/copy?{query}",
            widths=_WIDTHS,
            schemes=_SCHEMES,
        )

    @app.get("/editions/{name}/copy")
    def show_copy(request: Request, name: str) -> Response:
        asked = request.query_params
        _, message, _ = read(name, asked.get("reader", "")[:320])
        plain, html = decode_message(message.content)
        hosts = press.settings.edition.picture_hosts
        pictures = " ".join(f"https://{host}" for host in hosts) or "'none'"
        headers = {
            **HEADERS,
            "Content-Security-Policy": (
                f"default-src 'none'; style-src 'unsafe-inline'; img-src {pictures}; sandbox; "
                "frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
            ),
            "Referrer-Policy": "no-referrer",
        }
        del headers["X-Frame-Options"]
        if not html:  # this reader wants plain text
            return Response(plain, media_type="text/plain; charset=utf-8", headers=headers)
        always = "(min-width: 0px)" if asked.get("scheme") == "dark" else "(max-width: 0px)"
        return HTMLResponse(_DARK.sub(always, html), headers=headers)
