"""Real servers for a test: each is started when it is asked for, and ended with the test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.servers.daemon import private_folder
from tests.integration.servers.dovecot import Dovecot
from tests.integration.servers.postfix import Postfix
from tests.integration.servers.publication import READERS
from tests.relays import Authority


@dataclass(frozen=True, slots=True)
class Trust:
    """A certificate for localhost, with its key, and the authority behind it."""

    certificate: Path
    authority: Path


@pytest.fixture(scope="session")
def trust() -> Iterator[Trust]:
    with private_folder() as folder:
        authority = Authority(folder)
        authority.issue("localhost")
        yield Trust(folder / "localhost-valid.pem", authority.ca_file)


@pytest.fixture(scope="session")
def login_socket(trust: Trust) -> Iterator[Path]:
    """Where a Dovecot answers whether a login is right; Postfix has no list of its own."""
    with private_folder() as folder, ExitStack() as stack:
        dovecot = Dovecot(folder, certificate=trust.certificate)
        stack.callback(dovecot.kill)
        dovecot.start()
        yield dovecot.login_socket


@pytest.fixture
def dovecot(trust: Trust) -> Iterator[Dovecot]:
    """A Dovecot that keeps mail for `READERS`."""
    with private_folder() as folder, ExitStack() as stack:
        dovecot = Dovecot(folder, certificate=trust.certificate, readers=list(READERS))
        stack.callback(dovecot.kill)
        dovecot.start()
        yield dovecot


class StartPostfix:
    """Start a Postfix that keeps mail for some readers, with settings of main.cf."""

    def __init__(self, trust: Trust, login_socket: Path, stack: ExitStack) -> None:
        self._trust, self._login_socket, self._stack = trust, login_socket, stack

    def __call__(
        self, settings: Mapping[str, str] | None = None, *, readers: Mapping[str, str] = READERS
    ) -> Postfix:
        postfix = Postfix(
            self._stack.enter_context(private_folder()),
            certificate=self._trust.certificate,
            login_socket=self._login_socket,
            readers=list(readers),
            settings=settings or {},
        )
        self._stack.callback(postfix.kill)
        postfix.start()
        return postfix


@pytest.fixture
def start_postfix(trust: Trust, login_socket: Path) -> Iterator[StartPostfix]:
    with ExitStack() as stack:
        yield StartPostfix(trust, login_socket, stack)
