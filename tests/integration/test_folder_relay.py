"""Folders as relays, on a real file system."""

from __future__ import annotations

import asyncio
import mailbox
import signal
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from newsletter.errors import ConfigurationError, ConnectionLost, RelayUnavailable
from newsletter.smtp.folder import Folder
from newsletter.smtp.protocol import Envelope, LocalProtocolError, Reply

Kind = Literal["maildir", "eml"]
KINDS: tuple[Kind, ...] = ("maildir", "eml")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


def envelope(recipient: str = "ada@reader.example") -> Envelope:
    return Envelope(sender="bounce@news.example", recipient=recipient)


def message(name: str = "one", body: str = "") -> bytes:
    return f"Subject: today\r\nMessage-ID: <{name}@news.example>\r\n\r\n{body}.\r\n".encode()


def prepare(folder: Folder, content: bytes, recipient: str = "ada@reader.example") -> None:
    assert asyncio.run(folder.prepare(envelope(recipient), content)) is None


def send(folder: Folder, content: bytes, recipient: str = "ada@reader.example") -> Reply:
    prepare(folder, content, recipient)
    return asyncio.run(folder.finish())


def visible(path: Path, kind: Kind) -> list[Path]:
    """List what a reader of the folder would see."""
    found = (path / "new").iterdir() if kind == "maildir" else path.glob("[!.]*")
    return sorted(found)


def everything(path: Path) -> list[Path]:
    return [found for found in path.rglob("*") if found.is_file() or found.is_symlink()]


def test_a_maildir_is_one_to_other_programs(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "mail", "maildir")
    assert send(folder, message("one")).code == 250
    assert send(folder, message("two")).code == 250
    theirs = mailbox.Maildir(tmp_path / "mail", create=False)
    assert sorted(str(found["Message-ID"]) for found in theirs) == [
        "<one@news.example>",
        "<two@news.example>",
    ]


def test_eml_files_are_named_after_their_readers_and_hold_the_very_bytes(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "out" / "box", "eml")
    reply = send(folder, message(), "ada+news@reader.example")
    [path] = visible(tmp_path / "out" / "box", "eml")
    assert path.name.startswith("ada+news@reader.example-")
    assert path.suffix == ".eml"
    assert path.read_bytes() == message()
    assert str(reply) == f"250 2.0.0 {path.name}"


@pytest.mark.parametrize("recipient", ["../../etc/x@a.example", ".hidden@a.example", "ä/ö\\@a"])
def test_no_address_leads_out_of_the_folder_or_hides_in_it(recipient: str, tmp_path: Path) -> None:
    send(Folder(tmp_path / "out", "eml"), message(), recipient)
    assert len(visible(tmp_path / "out", "eml")) == len(everything(tmp_path)) == 1


def test_the_same_message_twice_stands_there_once(kind: Kind, tmp_path: Path) -> None:
    for _ in range(2):
        send(Folder(tmp_path, kind), message("one"))
    assert len(visible(tmp_path, kind)) == 1
    send(Folder(tmp_path, kind), message("two"))
    assert len(visible(tmp_path, kind)) == 2


def test_a_message_id_within_the_text_is_not_the_messages_own(kind: Kind, tmp_path: Path) -> None:
    folder = Folder(tmp_path, kind)
    for subject in ("one", "two"):
        send(folder, f"Subject: {subject}\r\n\r\nMessage-ID: <x@a.example>\r\n".encode())
    assert len(visible(tmp_path, kind)) == 2


def test_nothing_is_visible_before_the_finish(kind: Kind, tmp_path: Path) -> None:
    folder = Folder(tmp_path, kind)
    prepare(folder, message())
    assert visible(tmp_path, kind) == []
    assert folder.usable
    asyncio.run(folder.finish())
    assert len(visible(tmp_path, kind)) == 1


@pytest.mark.parametrize("way", ["close", "abort"])
def test_what_is_not_finished_is_taken_away(kind: Kind, way: str, tmp_path: Path) -> None:
    folder = Folder(tmp_path, kind)
    prepare(folder, message())
    if way == "close":
        asyncio.run(folder.close())
    else:
        folder.abort()
    assert everything(tmp_path) == []
    with pytest.raises(LocalProtocolError):
        asyncio.run(folder.finish())


def test_a_kill_before_the_finish_leaves_nothing_visible(kind: Kind, tmp_path: Path) -> None:
    program = (
        "import asyncio, os, signal, sys\n"
        "from pathlib import Path\n"
        "from newsletter.smtp.folder import Folder\n"
        "from newsletter.smtp.protocol import Envelope\n"
        "envelope = Envelope(sender='', recipient='ada@reader.example')\n"
        "folder = Folder(Path(sys.argv[1]), sys.argv[2])\n"
        "asyncio.run(folder.prepare(envelope, os.fsencode(sys.argv[3])))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    content = message()
    killed = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), kind, content.decode()], check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert visible(tmp_path, kind) == []
    assert len(everything(tmp_path)) == 1
    send(Folder(tmp_path, kind), content)
    [path] = everything(tmp_path)
    assert visible(tmp_path, kind) == [path]
    assert path.read_bytes() == content


def test_a_place_that_is_no_folder_is_an_operators_mistake(kind: Kind, tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("not a folder")
    for path in (place, place / "below"):
        with pytest.raises(ConfigurationError) as raised:
            Folder(path, kind)
        assert str(raised.value).startswith(f"delivery.relay: {kind}:{path} cannot be made (")
        assert str(raised.value).endswith("; name a folder that this user may write to.")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which Linux has")
def test_a_full_disk_is_one_sentence_and_leaves_nothing(kind: Kind, tmp_path: Path) -> None:
    folder = Folder(tmp_path, kind)
    prepare(folder, message())
    [aside] = everything(tmp_path)
    folder.abort()
    aside.symlink_to("/dev/full")
    with pytest.raises(RelayUnavailable) as raised:
        prepare(folder, message())
    assert str(raised.value) == (
        f"{kind}:{tmp_path} took no message (No space left on device); "
        "mend the folder and run the same command again; nobody gets a second copy."
    )
    assert everything(tmp_path) == []
    send(folder, message())
    assert len(visible(tmp_path, kind)) == 1


def test_a_folder_that_breaks_before_the_finish_is_certain(tmp_path: Path) -> None:
    folder = Folder(tmp_path, "maildir")
    prepare(folder, message())
    (tmp_path / "new").rmdir()
    with pytest.raises(ConnectionLost) as raised:
        asyncio.run(folder.finish())
    assert not raised.value.in_doubt
    assert str(raised.value) == (f"maildir:{tmp_path} took no message (No such file or directory).")
    assert everything(tmp_path) == []
