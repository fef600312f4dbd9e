"""A web server on loopback that keeps what it is sent: a webhook's receiver, an outside service.

    with Receiver() as receiver:
        ...                            # receiver.url
    receiver.calls                     # in order

`says` is a function of how often it was called before: the status that it answers with.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Call:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float
    """Monotonic seconds."""

    @property
    def document(self) -> Any:
        return json.loads(self.body)


class Receiver:
    """Run the server while the `with` block lasts."""

    def __init__(self, says: Callable[[int], int] = lambda _before: 204) -> None:
        self.calls: list[Call] = []
        self.says = says
        kept = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("content-length", 0))
                call = Call(
                    self.command,
                    self.path,
                    {name.lower(): value for name, value in self.headers.items()},
                    self.rfile.read(length),
                    time.monotonic(),
                )
                status = kept.says(len(kept.calls))
                kept.calls.append(call)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def told(self) -> list[tuple[str, str]]:
        """State and sentence of every alert that was taken, in order."""
        return [(c.document["state"], c.document["sentence"]) for c in self.calls if c.body]

    def wait_for(self, count: int, seconds: float) -> bool:
        """Wait until so many calls were made; False when the time is over first."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if len(self.calls) >= count:
                return True
            time.sleep(0.02)
        return False

    def wait_for_silence(self, silence: float, seconds: float) -> bool:
        """Wait until nothing came for so long, as an outside service does before it tells."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.calls and time.monotonic() - self.calls[-1].at > silence:
                return True
            time.sleep(0.02)
        return False
