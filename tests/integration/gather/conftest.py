"""A real web server on loopback that answers as it is told, and remembers who asked."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

Script = Callable[[BaseHTTPRequestHandler], None]


class ScriptedWeb:
    def __init__(self) -> None:
        web = self
        self.requests: list[BaseHTTPRequestHandler] = []
        self.scripts: dict[str, Script] = {}
        self.allow_head = False

        class Handler(BaseHTTPRequestHandler):
            timeout = 5

            def do_HEAD(self) -> None:
                if not web.allow_head:
                    self.send_error(501)
                    return
                web.requests.append(self)
                self.send_response(200)
                self.end_headers()

            def do_GET(self) -> None:
                web.requests.append(self)
                # a client that has had enough hangs up
                with suppress(BrokenPipeError, ConnectionResetError):
                    web.scripts.get(self.path.partition("?")[0], _not_found)(self)

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: object, client_address: object) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self._thread = Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()

    def url(self, path: str, *, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def script(self, path: str, script: Script) -> str:
        self.scripts[path] = script
        return self.url(path)

    def answer(
        self,
        path: str,
        body: bytes | str = b"",
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """Answer conditional requests as a server should that knows ETag and Last-Modified."""
        data = body.encode() if isinstance(body, str) else body
        own = dict(headers or {})

        def reply(handler: BaseHTTPRequestHandler) -> None:
            asked = handler.headers
            same = asked["If-None-Match"] == own.get("ETag") and "ETag" in own
            same |= asked["If-Modified-Since"] == own.get("Last-Modified") and (
                "Last-Modified" in own
            )
            handler.send_response(304 if same else status)
            for name, value in own.items():
                handler.send_header(name, value)
            if not same:
                handler.send_header("Content-Length", str(len(data)))
            handler.end_headers()
            if not same:
                handler.wfile.write(data)

        return self.script(path, reply)

    def redirect(self, path: str, location: str, *, status: int = 302) -> str:
        return self.answer(path, status=status, headers={"Location": location})


def _not_found(handler: BaseHTTPRequestHandler) -> None:
    handler.send_error(404)


@pytest.fixture
def web() -> Iterator[ScriptedWeb]:
    server = ScriptedWeb()
    yield server
    server.close()
