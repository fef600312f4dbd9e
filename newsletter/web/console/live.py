"""A send as it moves: a stream of events (SSE), and the one script of the console that shows it.

Without the script a page says how it stood when it was loaded. A stream ends with the send, with
its session, and after some minutes in any case; the browser then asks again, through the gate.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from importlib.resources import files

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from newsletter.press import Press
from newsletter.web.console.editions import find_named, read_live
from newsletter.web.console.gate import Visit
from newsletter.web.console.pages import HEADERS
from newsletter.web.console.sessions import find_session

_EVERY_SECONDS = 1.0
_STREAM_SECONDS = 300
_MOVING = ("approved", "sending", "paused")
_STREAMS = 30


def add_live(app: FastAPI, press: Press) -> None:
    """Add the stream and its script."""
    script = (files("newsletter.web.console") / "live.js").read_bytes()
    open_streams = 0

    @app.get("/live.js")
    def give_script() -> Response:
        return Response(script, media_type="text/javascript; charset=utf-8", headers=HEADERS)

    @app.get("/editions/{name}/events")
    async def stream(request: Request, name: str) -> Response:
        visit: Visit = request.state.visit
        edition_id = await run_in_threadpool(_find, press, name)

        async def events() -> AsyncIterator[str]:
            nonlocal open_streams
            open_streams += 1
            try:
                for second in range(_STREAM_SECONDS):
                    if second % 10 == 0 and not await run_in_threadpool(_is_in, press, visit):
                        return
                    live = await run_in_threadpool(read_live, press, edition_id)
                    yield f"data: {json.dumps(live)}\n\n"
                    if live["state"] not in _MOVING:
                        return
                    await asyncio.sleep(_EVERY_SECONDS)
            finally:
                open_streams -= 1

        if open_streams >= _STREAMS:
            return Response("", status_code=503, headers={**HEADERS, "Retry-After": "10"})
        return StreamingResponse(events(), media_type="text/event-stream", headers=HEADERS)


def _find(press: Press, name: str) -> int:
    with press.database.reading() as connection:
        return find_named(connection, name).id


def _is_in(press: Press, visit: Visit) -> bool:
    return bool(
        find_session(
            press.database,
            visit.cookies["session"],
            settings=press.settings.console,
            now=press.now(),
            touch=False,
        )
    )
