"""Many readers, each with choices of their own, from one compilation."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from mjml import mjml2html
from premailer import Premailer

from newsletter.audience.reader import DETAILS, FORMATS, MINUTES, Choices, Reader
from newsletter.mail import Addresser, Keyring, build_letterhead, decode_message
from newsletter.render import inline, markup
from newsletter.render.compile import PLAIN_TEMPLATE, compile_edition
from newsletter.render.selection import Selector
from newsletter.render.templates import TemplateSet, find_templates
from newsletter.settings import Vocabulary
from tests.demo_edition import print_demo

READERS = 10_000
TOPICS = ("shipping", "Technology", "energy", "Sport", "none of these")
LANGUAGES = ("", "", "en", "de", "es-MX", "he", "ja")


def draw_reader(number: int, chance: random.Random) -> Reader:
    lenses = [lens.name for lens in Vocabulary().lenses]
    return Reader(
        subscriber_id=number,
        email=f"reader{number}@example.org",
        name=f"Reader {number}" if chance.random() < 0.5 else "",
        choices=Choices(
            topics=tuple(chance.sample(TOPICS, chance.choice((0, 0, 1, 2)))),
            lenses=tuple(chance.sample(lenses, chance.choice((0, 1, 3)))),
            detail=chance.choice(("", *DETAILS)),
            minutes=chance.choice((0, *MINUTES)),
            language=chance.choice(LANGUAGES),
            format=chance.choice(("", *FORMATS)),
        ),
    )


def test_one_compilation_serves_ten_thousand_readers_with_choices_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, printed = print_demo(tmp_path)
    runs: list[str] = []

    def counted(name: str, real: Any) -> Any:
        def run(*args: Any, **kwargs: Any) -> Any:
            runs.append(name)
            return real(*args, **kwargs)

        return run

    render = TemplateSet.render

    def render_counted(self: TemplateSet, name: str, *args: Any, **kwargs: Any) -> str:
        runs.append(name)
        return render(self, name, *args, **kwargs)

    monkeypatch.setattr(markup, "mjml2html", counted("mjml", mjml2html))
    monkeypatch.setattr(inline, "Premailer", counted("premailer", Premailer))
    monkeypatch.setattr(TemplateSet, "render", render_counted)
    publication, edition = settings.publication, printed.edition
    compiled = compile_edition(
        edition,
        publication=publication,
        vocabulary=settings.vocabulary,
        templates=find_templates(),
        settings=settings.edition,
    )
    keyring = Keyring([b"k" * 40])
    letterhead = build_letterhead(
        publication,
        edition_id=1,
        day=date(2026, 11, 25),
        dated_at=datetime(2026, 11, 25, 7, tzinfo=UTC),
        key_id=keyring.newest,
    )
    addresser = Addresser(compiled, letterhead, keyring)
    selector = Selector(compiled)
    chance = random.Random(4)
    bodies: dict[Choices, bytes] = {}
    for number in range(1, READERS + 1):
        reader = draw_reader(number, chance)
        content = bytes(addresser.address(reader).content)
        if number % 100:
            continue
        selection = selector.select(reader.choices)
        plain, html = decode_message(content)
        assert bool(html) == (reader.choices.format != "text")
        for brief, form in zip(edition.briefs, selection.forms, strict=True):
            title = "".join(brief.title.split())
            assert (title in "".join(plain.split())) == (form is not None)
        bodies[reader.choices] = content.partition(b"\r\n\r\n")[2]
    assert runs == ["digest.mjml.j2", "mjml", "premailer", PLAIN_TEMPLATE]
    assert len(set(bodies.values())) == len(bodies) > 90
