"""The `newsletter` command. A file per group of commands; this one joins them.

Only the file of the command that is asked for is imported, and none for the help of all:
parsers of feeds, mail and templates together take seconds to load.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from newsletter import __version__
from newsletter.cli.session import Session
from newsletter.cli.writing import build_system_error
from newsletter.errors import ConfigurationError, NewsletterError

_FILES = {
    "demo": "trial",
    "init": "setup",
    "gather": "publishing",
    "sources": "health",
    "preview": "previewing",
    "check": "publishing",
    "review": "reviewing",
    "send": "sending",
    "web": "pages",
    "status": "watching",
    "alerts": "alerting",
    "waves": "hours",
    "explain": "telling",
    "show": "telling",
    "resolve": "resolving",
    "bounces": "bouncing",
    "pause": "deciding",
    "resume": "deciding",
    "cancel": "deciding",
    "correct": "correcting",
    "feedback": "answers",
    "promises": "following",
    "stories": "grouping",
    "subscribers": "subscribers",
    "notices": "noticing",
    "webhooks": "hooking",
    "receive": "hearing",
    "listen": "hearing",
    "team": "teaming",
    "audit": "auditing",
    "serve": "running",
    "doctor": "doctor",
    "dashboard": "alerting",
    "db": "keeping",
}
"""Which file has which command, in the order of the help."""

_HELP = {
    "demo": "Gather, render and send sample briefs over real SMTP into an embedded mailbox.",
    "init": "Make a publication to start from: settings, a key, a sample brief, one reader.",
    "gather": "Read every source and store what is new.",
    "sources": "Show every source: when it was last read, what came of it, and what is wrong "
    "with it.",
    "preview": "Write the edition as a reader would get it: HTML, text, .eml and pictures. "
    "Mails nobody.",
    "check": "Run the preflight checks on the edition, and list its links. Mails nobody.",
    "review": "What waits for a person's word before it is sent: list, show, approve, reject.",
    "send": "Send the day's edition to every reader it is for, once; also goes on with a "
    "stopped send.",
    "web": "Write the web copy: a page of every edition that was approved, of every brief, "
    "and feeds.",
    "status": "Show the latest editions, what became of every delivery, and what to do next.",
    "alerts": "Show what is wrong now, what was in the last day, and who was told of it.",
    "waves": "Show the hours at which readers get an edition, and who would get it late.",
    "explain": "Tell one reader's whole story: consent, choices, and what became of each edition.",
    "show": "Give back the exact bytes that a reader was sent of an edition, or is to be sent.",
    "resolve": "Show who is in doubt, and settle it: the relay took it, or send it again.",
    "bounces": "Show what came back of recent editions, and say whether it counts where it is "
    "doubted.",
    "pause": "Pause an edition that is being sent, within a second; `resume` goes on.",
    "resume": "Let a paused edition be sent again, by `serve` or by `send`.",
    "cancel": "Cancel an edition: whoever has not been sent it gets nothing, for good.",
    "correct": "Correct an edition that readers have; what they were sent stays as it is.",
    "feedback": "Show what readers think of the briefs of recent editions, or of one day's.",
    "promises": "What editions told readers to watch next, and what became of it.",
    "stories": "Which pieces the coming edition tells as one story.",
    "subscribers": "The readers: import, export, list, add, remove, clean, erase.",
    "notices": "Show the single mails (confirmations and the like) that wait or failed; send "
    "what is due.",
    "webhooks": "Show what webhooks have taken, what waits for them, and what they were never "
    "told.",
    "receive": "Take one message from standard input: a word to leave by, a bounce or a complaint.",
    "listen": "Look once into the mailbox of `incoming` for what comes back; `serve` does "
    "it itself.",
    "team": "Who may use the console: list, add, disable, reset, passkeys.",
    "audit": "What was done, by whom and from where; verify, edition.",
    "serve": "Keep the schedule, send single mails, serve the readers' pages, until SIGTERM "
    "or Ctrl-C.",
    "doctor": "Look at settings, database, relays, DNS, web address and clock, and say how to "
    "mend each.",
    "dashboard": "Print a Grafana dashboard of the figures at /metrics, to be imported there.",
    "db": "The database.",
}
"""How the help of each begins: that of all is shown without loading any."""

_STOPPED_BY_HAND = 130  # what a shell reports of a program ended by Ctrl-C


def build_app(names: Iterable[str] = tuple(_FILES)) -> typer.Typer:
    """Build the command line of the named commands."""
    app = _build_frame()
    for name in names:
        command = getattr(import_module(f"newsletter.cli.{_FILES[name]}"), name)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def build_overview() -> typer.Typer:
    """Build the command line for who names no command: it only tells what there is."""
    app = _build_frame()
    for name in _FILES:
        app.command(name, help=_HELP[name])(lambda: None)
    return app


def _build_frame() -> typer.Typer:
    app = typer.Typer(
        name="newsletter",
        help="Today's news briefs in, a digest in every reader's mailbox.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"newsletter {__version__}")
        raise typer.Exit


def _options(
    ctx: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Configuration; default newsletter.toml here."),
    ] = None,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    ctx.obj = Session(config)


def main() -> None:
    """Run the command line; every expected fault becomes one sentence and an exit code."""
    try:
        arguments = _hoist_config(sys.argv[1:])
        asked = _find_asked(arguments)
        app = build_app([asked]) if asked else build_overview()
        app(arguments)
    except NewsletterError as error:
        _fail(error)
    except OSError as error:  # the system refused what no command foresaw
        _fail(build_system_error(error))
    except UnicodeEncodeError as error:
        _fail(
            ConfigurationError(
                f"the output takes {error.encoding} only, and not {error.object[error.start]!a}",
                field="PYTHONIOENCODING",
                mend="set it to utf-8",
            )
        )
    except KeyboardInterrupt:  # before a command began; later ones end in their own way
        sys.exit(_STOPPED_BY_HAND)


def _fail(error: NewsletterError) -> None:
    sys.stderr.write(f"newsletter: {error}\n")
    sys.exit(error.exit_code)


def _find_asked(arguments: list[str]) -> str:
    """Find the command that is asked for; "" where none is.

    It is the first word that is neither an option nor --config's value.
    """
    words = arguments[2:] if arguments[:1] in (["--config"], ["-c"]) else arguments
    asked = next((word for word in words if not word.startswith("-")), "")
    return asked if asked in _FILES else ""


def _hoist_config(arguments: list[str]) -> list[str]:
    """Move --config to the front, so that it may stand on either side of the command."""
    for index, argument in enumerate(arguments):
        if argument == "--":
            break
        if argument in ("--config", "-c") and index + 1 < len(arguments):
            return [*arguments[index : index + 2], *arguments[:index], *arguments[index + 2 :]]
        if argument.startswith("--config="):
            return [argument, *arguments[:index], *arguments[index + 1 :]]
    return arguments
