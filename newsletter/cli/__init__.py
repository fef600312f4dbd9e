"""The `newsletter` command. A file per group of commands; this one joins them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from newsletter import __version__
from newsletter.cli import publishing, running, setup, subscribers, trial, watching
from newsletter.cli.session import Session
from newsletter.errors import NewsletterError

app = typer.Typer(
    name="newsletter",
    help="Today's news briefs in, a digest in every reader's mailbox.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(trial.demo)
app.command()(setup.init)
app.command()(publishing.gather)
app.command()(publishing.preview)
app.command()(publishing.check)
app.command()(publishing.send)
app.command()(watching.status)
app.add_typer(subscribers.app, name="subscribers")
app.command()(running.serve)
app.add_typer(setup.db, name="db")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"newsletter {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    ctx: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Configuration; default newsletter.toml here."),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    ctx.obj = Session(config)


def main() -> None:
    """Run the command line; every expected fault becomes one sentence and an exit code."""
    try:
        app(_hoist_config(sys.argv[1:]))
    except NewsletterError as error:
        sys.stderr.write(f"newsletter: {error}\n")
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


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
