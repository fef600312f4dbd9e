"""Logins by access token, from a command that prints one."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from newsletter.errors import ConfigurationError, NewsletterError, RelayRefusedUs, RelayUnavailable
from newsletter.smtp.connection import Connection, Timeouts, build_tls_context
from newsletter.smtp.relay import parse_relay
from newsletter.smtp.tokens import TokenCommand
from tests.relays import Script, ScriptedRelay, drop

QUICK = Timeouts(connect=2, greeting=2, hello=2, mail=2, rcpt=2, data=2, block=2, dot=2, quit=0.5)
USER = "user,a=b@news.example"


def command(directory: Path, *tokens: str) -> TokenCommand:
    """Print one token after another, and the last one again and again."""
    script = directory / "token.py"
    script.write_text(
        "import pathlib, sys\n"
        "runs = pathlib.Path('runs')\n"
        "count = len(runs.read_text()) if runs.exists() else 0\n"
        "runs.write_text('x' * (count + 1))\n"
        "print(sys.argv[1:][min(count, len(sys.argv) - 2)])\n"
    )
    return TokenCommand([sys.executable, script.name, *tokens], directory=directory)


def runs(directory: Path) -> int:
    return len((directory / "runs").read_text())


def log_in(
    relay: ScriptedRelay, tokens: TokenCommand | None, auth: str = "xoauth2", times: int = 1
) -> None:
    async def scenario() -> None:
        for _ in range(times):
            connection = await Connection.open(
                parse_relay(f"{relay.url}&auth={auth}"),
                ehlo_name="news.example",
                tls=build_tls_context(),
                timeouts=QUICK,
                tokens=tokens,
            )
            await connection.close()

    asyncio.run(scenario())


def login_error(
    relay: ScriptedRelay, tokens: TokenCommand | None, auth: str = "xoauth2"
) -> NewsletterError:
    with pytest.raises(NewsletterError) as raised:
        log_in(relay, tokens, auth)
    assert "secret" not in str(raised.value)
    return raised.value


@pytest.mark.parametrize("auth", ["xoauth2", "oauthbearer"])
@pytest.mark.parametrize("token", ["secret", "secret" * 1000])
def test_one_token_serves_all_connections(auth: str, token: str, tmp_path: Path) -> None:
    with ScriptedRelay(login=(USER, token)) as relay:
        log_in(relay, command(tmp_path, token), auth, times=3)
    assert [session.logged_in for session in relay.sessions] == [True] * 3
    assert runs(tmp_path) == 1
    in_one_line = len(relay.sessions[0].commands[1].split()) == 3
    assert in_one_line is (token == "secret")  # RFC 4954 §4: no more than 512 bytes at once


@pytest.mark.parametrize("auth", ["xoauth2", "oauthbearer"])
def test_a_token_that_is_refused_is_had_anew_once(auth: str, tmp_path: Path) -> None:
    with ScriptedRelay(login=(USER, "fresh-secret")) as relay:
        log_in(relay, command(tmp_path, "stale-secret", "fresh-secret"), auth, times=2)
    assert [session.verbs.count("AUTH") for session in relay.sessions] == [2, 1]
    assert runs(tmp_path) == 2


def test_no_third_try(tmp_path: Path) -> None:
    with ScriptedRelay(login=(USER, "another")) as relay:
        error = login_error(relay, command(tmp_path, "secret"))
    assert type(error) is RelayRefusedUs
    assert "refused the login of user,a=b@news.example (535 5.7.8 no)" in str(error)
    assert "check the user in delivery.relay and what delivery.token_command prints" in str(error)
    assert relay.sessions[0].verbs == ["EHLO", "AUTH", "AUTH"]
    assert runs(tmp_path) == 2


@pytest.mark.parametrize(
    ("script", "mechanisms", "kind", "words"),
    [
        ({"AUTH": "454 4.7.0 later"}, "XOAUTH2", RelayUnavailable, "put off the login"),
        ({"AUTH": drop}, "XOAUTH2", RelayUnavailable, "closed the connection"),
        ({}, "PLAIN", RelayRefusedUs, "offers no login that we know (PLAIN); have XOAUTH2"),
    ],
)
def test_what_does_not_ask_for_another_token(
    script: Script, mechanisms: str, kind: type[NewsletterError], words: str, tmp_path: Path
) -> None:
    with ScriptedRelay(script, login=(USER, "secret"), mechanisms=mechanisms) as relay:
        error = login_error(relay, command(tmp_path, "secret"))
    assert type(error) is kind
    assert words in str(error)
    assert relay.sessions[0].verbs.count("AUTH") <= 1


@pytest.mark.parametrize(
    ("argv", "kind", "words"),
    [
        (["/nowhere/at/all"], ConfigurationError, "cannot be run (No such file or directory)"),
        ([sys.executable, "-c", "exit(3)"], RelayUnavailable, "failed (exit status 3)"),
        ([sys.executable, "-c", ""], ConfigurationError, "printed no access token"),
        ([sys.executable, "-c", "print('two secret')"], ConfigurationError, "printed no access"),
        ([sys.executable, "-c", "print('\\x01secret')"], ConfigurationError, "printed no access"),
        ([sys.executable, "-c", "print('s' * 9000)"], ConfigurationError, "printed no access"),
        (
            [sys.executable, "-c", "while True: print('secret' * 999)"],
            RelayUnavailable,
            "failed (exit status -9)",
        ),
        (
            [sys.executable, "-c", "import time; print('secret', flush=True); time.sleep(60)"],
            RelayUnavailable,
            "did not end within 1 s",
        ),
    ],
)
def test_commands_that_give_no_token(
    argv: Sequence[str], kind: type[NewsletterError], words: str
) -> None:
    with ScriptedRelay(login=(USER, "secret")) as relay:
        error = login_error(relay, TokenCommand(argv, seconds=1 if "1 s" in words else 30))
    assert type(error) is kind
    assert str(error).startswith(f"delivery.token_command: {argv[0]} {words}")
    assert "AUTH" not in relay.sessions[0].verbs


def test_the_command_is_asked_for_before_anything_is_said() -> None:
    with ScriptedRelay(login=(USER, "secret")) as relay:
        error = login_error(relay, None)
    assert str(error) == (
        "delivery.token_command: the access token of user,a=b@news.example is missing; "
        "name the command that prints one."
    )
    assert relay.sessions == []
