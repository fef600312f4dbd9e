"""The `newsletter` command. A file per group of commands; this one joins them.

Only the file of the command that is asked for is imported: parsers of feeds, mail and
templates together take over a second to load, and `status` needs none of them.
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

_STOPPED_BY_HAND = 130  # what a shell reports of a program ended by Ctrl-C


def build_app(names: Iterable[str] = tuple(_FILES)) -> typer.Typer:
    """Build the command line of the named commands."""
    app = typer.Typer(
        name="newsletter",
        help="Today's news briefs in, a digest in every reader's mailbox.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for name in names:
        command = getattr(import_module(f"newsletter.cli.{_FILES[name]}"), name)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
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
        build_app(_wanted(arguments))(arguments)
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


def _wanted(arguments: list[str]) -> Iterable[str]:
    """Name the commands to build: the one that is asked, else all, for the help to show.

    The command is the first word that is neither an option nor --config's value.
    """
    words = arguments[2:] if arguments[:1] in (["--config"], ["-c"]) else arguments
    if words[:1] == ["--version"]:
        return ()
    asked = next((word for word in words if not word.startswith("-")), "")
    return (asked,) if asked in _FILES else tuple(_FILES)


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
