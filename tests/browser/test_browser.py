"""Chromium as it is started here: nothing leaves the machine, and each look is what it says."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from newsletter.errors import BrowserError
from newsletter.render.browser import Look, Viewer, find_fault, open_viewer, use_browser
from tests.browser.chromium import NEEDS_CHROMIUM

pytestmark = NEEDS_CHROMIUM

PAGE = """<!doctype html><html><head><title>before</title>
<style>p { color: #123456 } @media (prefers-color-scheme: dark) { p { color: #fedcba } }</style>
</head><body><p style="font-size: 20px">Words</p>%s</body></html>"""
COLOUR = "getComputedStyle(document.querySelector('p')).color"


@pytest.fixture(scope="module")
def viewer() -> Iterator[Viewer]:
    with open_viewer() as viewer:
        yield viewer


@pytest.fixture
def listener() -> Iterator[tuple[int, list[bytes]]]:
    """A server on this machine that keeps what it is sent."""
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        stop = threading.Event()

        def listen() -> None:
            while not stop.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                with connection:
                    received.append(connection.recv(1000))

        thread = threading.Thread(target=listen)
        thread.start()
        yield server.getsockname()[1], received
        stop.set()
        thread.join()


@pytest.mark.parametrize(
    "element",
    [
        '<img src="{}">',
        '<link rel="stylesheet" href="{}">',
        '<script src="{}"></script>',
        '<iframe src="{}"></iframe>',
        '<div style="background: url({})">x</div>',
        "<style>@font-face {{ font-family: f; src: url({}) }} p {{ font-family: f }}</style>",
        '<meta http-equiv="refresh" content="0; url={}">',
        '<video src="{}" autoplay></video>',
        '<object data="{}"></object>',
    ],
)
def test_what_a_mail_asks_for_is_written_down_and_not_fetched(
    viewer: Viewer, listener: tuple[int, list[bytes]], element: str
) -> None:
    port, received = listener
    address = f"http://127.0.0.1:{port}/track"
    with viewer.show(PAGE % element.format(address), Look()) as shown:
        shown.page.wait_for_timeout(300)
        assert shown.page.inner_text("p") == "Words"
    assert set(shown.requests) == {address}
    assert received == []


def test_connections_that_are_no_requests_are_not_made_either(
    viewer: Viewer, listener: tuple[int, list[bytes]]
) -> None:
    port, received = listener
    link = f'<link rel="preconnect" href="http://127.0.0.1:{port}">'
    with viewer.show(PAGE % link, Look()) as shown:
        shown.page.wait_for_timeout(500)
    assert received == []


def test_a_mails_own_scripts_do_not_run(viewer: Viewer) -> None:
    script = (
        "<script>document.title = 'after'</script><img src=x onerror=\"document.title='after'\">"
    )
    with viewer.show(PAGE % script, Look(images=False)) as shown:
        shown.page.wait_for_timeout(200)
        assert shown.page.title() == "before"


def test_the_scheme_and_the_width_are_those_of_the_look(viewer: Viewer) -> None:
    with viewer.show(PAGE % "", Look(width=320, scheme="dark")) as shown:
        assert shown.page.evaluate("innerWidth") == 320
        assert shown.page.evaluate(COLOUR) == "rgb(254, 220, 186)"
    with viewer.show(PAGE % "", Look(width=1280, zoom=4)) as shown:
        assert shown.page.evaluate("innerWidth") == 320
        assert shown.page.evaluate(COLOUR) == "rgb(18, 52, 86)"


def test_removed_styles_leave_what_is_inline(viewer: Viewer) -> None:
    with viewer.show(PAGE % "", Look(styles=False)) as shown:
        assert shown.page.evaluate(COLOUR) == "rgb(0, 0, 0)"
        assert (
            shown.page.evaluate("getComputedStyle(document.querySelector('p')).fontSize") == "20px"
        )


def test_larger_text_is_larger_by_so_much(viewer: Viewer) -> None:
    with viewer.show(PAGE % '<p style="font-size: 50%"><b>x</b></p>', Look(text=2)) as shown:
        sizes = shown.page.evaluate(
            "[...document.querySelectorAll('p, b')].map(e => getComputedStyle(e).fontSize)"
        )
    assert sizes == ["40px", "16px", "16px"]


def test_pictures_are_grey_boxes_of_their_size_unless_they_are_off(viewer: Viewer) -> None:
    page = PAGE % '<img src="http://pictures.example/1.jpg" width="300" height="200" alt="A quay">'
    loaded = "document.images[0].naturalWidth"
    with viewer.show(page, Look()) as shown:
        assert shown.page.evaluate(loaded) == 1
        assert shown.page.evaluate("document.images[0].getBoundingClientRect().height") == 200
        with_picture = shown.take_picture()
    with viewer.show(page, Look(images=False)) as shown:
        assert shown.page.evaluate(loaded) == 0
        assert shown.take_picture() != with_picture
    assert shown.requests == ["http://pictures.example/1.jpg"]


def test_forced_dark_turns_colours_that_no_style_knows_of(viewer: Viewer) -> None:
    with viewer.show(PAGE % "", Look()) as shown:
        light = shown.take_picture()
    with viewer.show(PAGE % "", Look(forced_dark=True)) as shown:
        assert shown.page.evaluate(COLOUR) == "rgb(18, 52, 86)"
        assert shown.take_picture() != light


def test_outlooks_dark_mode_rewrites_colours_and_keeps_the_old_ones(viewer: Viewer) -> None:
    part = '<table><tr><td bgcolor="#ffffff" style="color: #222222"><b>x</b></td></tr></table>'
    with viewer.show(PAGE % part, Look(outlook_dark=True)) as shown:
        found = shown.page.evaluate(
            "['p', 'td', 'b'].map(name => document.querySelector(name)).map("
            "e => [e.style.color, e.style.backgroundColor, e.dataset.ogsc, e.dataset.ogsb])"
        )
    assert found == [
        ["rgb(169, 203, 237)", "", "", None],  # by a style
        ["rgb(221, 221, 221)", "rgb(0, 0, 0)", "rgb(34, 34, 34)", ""],
        ["", "", None, None],  # inherited
    ]


def test_a_running_event_loop_is_no_hindrance() -> None:
    def read_title(viewer: Viewer) -> str:
        with viewer.show(PAGE % "", Look()) as shown:
            return shown.page.title()

    async def look() -> str:
        return use_browser(read_title)

    with ThreadPoolExecutor() as pool:  # this thread's loop is the fixture's
        assert pool.submit(asyncio.run, look()).result() == "before"


def test_a_program_that_is_no_chromium_is_told_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "chromium"
    fake.write_text("#!/bin/sh\necho 'no display for you' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("CHROMIUM", str(fake))
    with pytest.raises(BrowserError, match="did not start") as caught:
        use_browser(lambda _viewer: None)
    assert "\n" not in str(caught.value)
    monkeypatch.setenv("CHROMIUM", str(tmp_path / "nothing"))
    assert find_fault() == (
        f"CHROMIUM names {tmp_path / 'nothing'}, which is no program: correct or unset it"
    )
    monkeypatch.delenv("CHROMIUM")
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert (
        find_fault()
        == "Chromium is missing: apt-get install chromium, or name its file in CHROMIUM"
    )
