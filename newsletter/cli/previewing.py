"""What a reader would get, as files to look at: preview."""

from __future__ import annotations

import webbrowser
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from newsletter.audience.cells import parse_choices, parse_text
from newsletter.audience.reader import Choices, Reader
from newsletter.audience.subscribers import find_subscriber
from newsletter.cli.asked import BriefOption, DateOption, JsonOption, KindOption, check_briefs
from newsletter.cli.edition import edition_document, edition_table, prepare_edition, what_next
from newsletter.cli.session import Session
from newsletter.cli.writing import writing_to
from newsletter.errors import AudienceError, BrowserError, RefusedError
from newsletter.mail import decode_message
from newsletter.press import Press
from newsletter.press.addressing import sample_message
from newsletter.render.gallery import Gallery, Picture, build_page
from newsletter.render.pictures import PICTURES, take_pictures

_STEM = "digest"
_INDEX = "index.html"


def preview(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write to.")] = Path("preview"),
    to: Annotated[str, typer.Option(metavar="ADDRESS", help="Show the copy of this reader.")] = "",
    name: Annotated[str, typer.Option(help="A reader of this name.")] = "",
    topics: Annotated[str, typer.Option(metavar="A,B", help="Who chose these topics.")] = "",
    detail: Annotated[str, typer.Option(help="one-line, standard or full.")] = "",
    lenses: Annotated[str, typer.Option(metavar="A,B", help="These lenses, in this order.")] = "",
    minutes: Annotated[str, typer.Option(metavar="N", help="Minutes to read: 3, 5 or 10.")] = "",
    language: Annotated[str, typer.Option(metavar="TAG", help="A language, such as de.")] = "",
    mail_format: Annotated[str, typer.Option("--format", help="html or text.")] = "",
    day: DateOption = None,
    kind: KindOption = "daily",
    brief: BriefOption = None,
    with_pictures: Annotated[
        bool, typer.Option("--pictures/--no-pictures", help="Take pictures with Chromium.")
    ] = True,
    open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write the edition as a reader would get it: HTML, text, .eml and pictures. Mails nobody.

    The reader is one of yours (--to), or one made up of the choices given here; both together
    show what that reader would get, had they chosen so.
    """
    session: Session = ctx.obj
    brief_ids = check_briefs(brief, kind)
    chosen = _parse_chosen(
        topics=topics,
        detail=detail,
        lenses=lenses,
        minutes=minutes,
        language=language,
        format=mail_format,
    )
    with session.database() as database:
        press = Press(session.settings, database, session.now)
        printed = prepare_edition(
            session, press, day, kind=kind, brief_ids=brief_ids, as_json=as_json
        )
        if printed is None:
            return
        reader = _build_reader(press, to, _parse_name(name), chosen)
        content = sample_message(press, printed, reader).content
    plain, html = decode_message(content)
    files = {".html": html.encode(), ".txt": plain.encode(), ".eml": bytes(content)}
    files = {f"{_STEM}{suffix}": data for suffix, data in files.items() if data}
    pictures, remark = _take_pictures(session, html) if with_pictures and html else ({}, "")
    files |= pictures
    page = build_page(
        Gallery(
            subject=printed.edition.subject,
            facts=_describe_copy(reader, printed.record.name, len(content)),
            pictures=[
                Picture(label=label, file=file, width=PICTURES[label].width)
                for label in PICTURES
                if (file := _picture_file(label)) in pictures
            ],
            text=plain,
            html_file=f"{_STEM}.html" if html else "",
            text_file=f"{_STEM}.txt",
            mail_file=f"{_STEM}.eml",
            remark=remark,
        )
    )
    files[_INDEX] = page.encode()
    written = _write_files(out, files)
    if as_json:
        session.print_json(
            edition_document(printed)
            | {"files": [str(path) for path in written], "skipped": remark or None}
        )
    else:
        session.out.print(edition_table(printed))
        for path in written:
            session.out.print(f"Wrote {escape(str(path))}", soft_wrap=True)
        session.out.print(what_next(printed))
    if remark:
        session.err.print(remark, markup=False, soft_wrap=True)
    if open_it:
        webbrowser.open(written[-1].absolute().as_uri())


def _take_pictures(session: Session, html: str) -> tuple[dict[str, bytes], str]:
    """Take the pictures, by file; without a browser none, and a line that says so."""
    done = 0
    with session.err.status("Starting Chromium …") as status:

        def tell(name: str) -> None:
            nonlocal done
            done += 1
            status.update(f"Taking picture {done} of {len(PICTURES)}: {name} …")

        try:
            taken = take_pictures(html, on_picture=tell)
        except BrowserError as error:
            return {}, f"No pictures were taken: {error}"
    return {_picture_file(name): data for name, data in taken.items()}, ""


def _picture_file(name: str) -> str:
    return f"{_STEM}-{name}.png"


def _write_files(out: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Write the files, and take away those of an earlier preview that this one has not."""
    ours = {f"{_STEM}.html", *map(_picture_file, PICTURES)}
    with writing_to(out):
        out.mkdir(parents=True, exist_ok=True)
        for stale in ours - files.keys():
            (out / stale).unlink(missing_ok=True)
        for name, data in files.items():
            (out / name).write_bytes(data)
    return [out / name for name in files]


def _parse_chosen(**cells: str) -> Choices:
    """Read choices as the columns of a subscriber table are read; a wrong one is a usage error."""
    try:
        return parse_choices(**cells)
    except AudienceError as error:
        raise typer.BadParameter(
            f"{error.problem}; {error.mend}", param_hint=f"--{error.field}"
        ) from None


def _parse_name(text: str) -> str:
    try:
        return parse_text(text, "name")
    except AudienceError as error:
        raise typer.BadParameter(f"{error.problem}; {error.mend}", param_hint="--name") from None


def _build_reader(press: Press, to: str, name: str, chosen: Choices) -> Reader:
    """Give the reader whose copy is shown: what is asked for here comes before their own."""
    reader = _find_reader(press, to) if to else Reader(subscriber_id=0, email="reader@example.org")
    choices = Choices.from_document(reader.choices.to_document() | chosen.to_document())
    return replace(reader, name=name or reader.name, choices=choices)


def _find_reader(press: Press, to: str) -> Reader:
    found = find_subscriber(press.database, to)
    if found is None:
        raise RefusedError(
            f"no reader has the address {to}", mend="see `newsletter subscribers list`"
        )
    return Reader(
        subscriber_id=found.id,
        email=found.email,
        name=found.name,
        choices=found.choices,
        fields=found.fields,
    )


def _describe_copy(reader: Reader, day: str, size: int) -> list[tuple[str, str]]:
    """Say whose copy it is, by what they chose."""
    choices = {
        key: ", ".join(value) if isinstance(value, list) else str(value)
        for key, value in reader.choices.to_document().items()
    }
    return [
        ("edition", day),
        ("reader", f"{reader.name} <{reader.email}>" if reader.name else reader.email),
        *choices.items(),
        ("size", f"{size:,} bytes"),
    ]
