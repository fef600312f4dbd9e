"""A PostgreSQL server for the tests: the one that is named, else one of the tests' own.

NEWSLETTER_TEST_POSTGRES names a server and a database on it (postgresql://user@host/name);
the tests make schemas there and remove them. Without it the installed programs are found
and run on a Unix socket in a new folder, by an unprivileged user where the tests are root's:
PostgreSQL refuses to be. Without those the tests that need a server are skipped.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest
from sqlalchemy import make_url

NAMED = "NEWSLETTER_TEST_POSTGRES"
_MISSING = f"no PostgreSQL: apt-get install postgresql, or set {NAMED}=postgresql://user@host/name"
_START_SECONDS = 60.0
_USERS = ("postgres", "nobody")
"""Who runs it for root: the first that there is."""


def find_programs() -> Path | None:
    """Find the folder of `initdb` and `postgres`, the newest version's first."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version_of, reverse=True)
    on_path = [Path(folder) for folder in os.get_exec_path()]
    for folder in (*debian, *on_path):
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    return None


def _version_of(folder: Path) -> float:
    try:
        return float(folder.parent.name)
    except ValueError:
        return 0


class Server:
    """A server that lives as long as its `with` block; skips the test if there can be none.

    `durable` waits for the disk as a real server does; else only the machine must not fail,
    which no test here makes it do.
    """

    def __init__(self, *, durable: bool = False, settings: Mapping[str, str] | None = None) -> None:
        self._settings = {
            "listen_addresses": "",
            "max_connections": "250",
            "fsync": "on" if durable else "off",
            "full_page_writes": "on" if durable else "off",
            **(settings or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        programs = find_programs()
        if programs is None:
            pytest.skip(_MISSING)
        self._programs = programs
        # Not pytest's own folder: another user cannot look into that one.
        self.folder = Path(tempfile.mkdtemp(prefix="newsletter-postgres-"))
        try:
            self._as_user: dict[str, Any] = {}
            if os.geteuid() == 0:
                user = _unprivileged_user()
                os.chown(self.folder, user.pw_uid, user.pw_gid)
                self._as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            self._run("initdb", "-D", "data", "-U", "newsletter", "-A", "trust", "-E", "UTF8",
                      "--locale=C", "--no-sync")  # fmt: skip
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where the server is, for settings."""
        return f"postgresql://newsletter@/postgres?host={self.folder}"

    def start(self) -> None:
        """Start it, or start it again, and wait until it takes connections."""
        options = [f"-c{name}={value}" for name, value in self._settings.items()]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", "data", "-k", self.folder, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **self._surroundings,
            )
        patience = time.monotonic() + _START_SECONDS
        while True:
            try:
                connect(self.url).close()
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > patience:
                    said = (self.folder / "log").read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"PostgreSQL does not start:\n{said}") from None
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """Kill it and every process of its own (-9), as the kernel does without memory left."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)  # so that it starts no more of them
        for number in [*_children_of(self._process.pid), self._process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """Stop it for good and remove what it kept."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)  # at once: nothing is to be kept
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _surroundings(self) -> dict[str, Any]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "LC_"))}
        return {"cwd": self.folder, "env": kept, **self._as_user}

    def _run(self, program: str, *arguments: str) -> None:
        ran = subprocess.run(
            [self._programs / program, *arguments],
            check=False,
            capture_output=True,
            text=True,
            **self._surroundings,
        )
        if ran.returncode:
            raise RuntimeError(f"{program} failed:\n{ran.stderr}")


def connect(url: str) -> psycopg.Connection[Any]:
    """Connect as the tests' own hand, with autocommit."""
    plain = make_url(url).set(drivername="postgresql")
    return psycopg.connect(plain.render_as_string(hide_password=False), autocommit=True)


@contextlib.contextmanager
def open_schema(url: str) -> Iterator[str]:
    """Make a schema for the length of a block; give the URL that leads to it."""
    schema = f"newsletter_test_{secrets.token_hex(6)}"
    with connect(url) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
    try:
        own = make_url(url).update_query_dict({"options": f"-csearch_path={schema}"})
        yield own.render_as_string(hide_password=False)
    finally:
        with connect(url) as connection:
            connection.execute("SET client_min_messages = warning")
            connection.execute(f"DROP SCHEMA {schema} CASCADE")


@contextlib.contextmanager
def find_server() -> Iterator[str]:
    """Give the URL of a server: the named one, or one that lives as long as the block."""
    if named := os.environ.get(NAMED):
        yield named
        return
    with Server() as server:
        yield server.url


def _unprivileged_user() -> pwd.struct_passwd:
    for name in _USERS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    pytest.skip(f"PostgreSQL does not run as root, and there is no user {' or '.join(_USERS)}")


def _children_of(number: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
            if int(fields[1]) == number:
                found.append(int(stat.parent.name))
    return found
