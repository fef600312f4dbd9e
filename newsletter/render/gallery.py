"""A preview on one page: every picture side by side, the mail itself, its plain text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One picture on the page; `width` in CSS pixels."""

    label: str
    file: str
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """What the page shows. Files are names beside it; `html_file` is "" for a text-only mail."""

    subject: str
    facts: Sequence[tuple[str, str]]
    """Whose copy it is, and whatever else stands below the subject."""
    pictures: Sequence[Picture]
    text: str
    html_file: str
    text_file: str
    mail_file: str
    remark: str = ""


@dataclass(frozen=True, slots=True)
class _Strip:
    title: str
    pictures: Sequence[Picture]


def build_page(gallery: Gallery) -> str:
    """Build the page. The mail stands in a frame in which nothing runs."""
    return _ENVIRONMENT.get_template("gallery.html.j2").render(
        subject=gallery.subject,
        facts=gallery.facts,
        strips=tuple(_build_strips(gallery.pictures)),
        text=gallery.text,
        html_file=gallery.html_file,
        text_file=gallery.text_file,
        mail_file=gallery.mail_file,
        remark=gallery.remark,
    )


def _build_strips(pictures: Sequence[Picture]) -> Iterable[_Strip]:
    """Put pictures of one width side by side, the widest first."""
    for width in sorted({picture.width for picture in pictures}, reverse=True):
        alike = [picture for picture in pictures if picture.width == width]
        yield _Strip(f"{width} pixels wide", alike)
