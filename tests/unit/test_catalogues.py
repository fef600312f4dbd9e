"""The catalogues: complete, and what a reader of each language gets is said in it."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.plurals import get_plural
from babel.messages.pofile import read_po
from lxml import html as lxml_html

from newsletter.audience.reader import Choices
from newsletter.errors import TemplateError
from newsletter.render.catalogues import list_texts
from newsletter.render.compile import compile_edition
from newsletter.render.compiled import CompiledEdition
from newsletter.render.languages import match_language, read_catalogues, write_date
from newsletter.render.preview import decode_part
from newsletter.render.selection import Selector
from newsletter.render.templates import find_templates, shipped_directory
from newsletter.settings import EditionSettings, Vocabulary
from tests.unit.test_render_compile import PLAIN_BRIEF, PUBLICATION, VALUES, edition, full_brief

SHIPPED = ("de", "es", "he")
TEXTS = list_texts(find_templates(), Vocabulary())


@cache
def catalogue(language: str) -> Catalog:
    with (shipped_directory() / "locale" / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language, abort_invalid=True)


@pytest.mark.parametrize("language", SHIPPED)
def test_a_catalogue_says_all_there_is_to_say_and_nothing_else(language: str) -> None:
    said = catalogue(language)
    assert {message.id for message in said if message.id} == set(TEXTS)
    for message in said:
        if not message.id:
            continue
        assert not message.fuzzy
        forms = [message.string] if isinstance(message.string, str) else list(message.string or ())
        english = [message.id] if isinstance(message.id, str) else list(message.id)
        assert all(forms), message.id
        assert len(forms) == (said.num_plurals if message.pluralizable else 1)
        for name in re.findall(r"\{\w+\}", english[-1]):
            assert name in forms[-1], message.id


@cache
def compiled(language: str = "en") -> CompiledEdition:
    return compile_edition(
        edition(full_brief(1), PLAIN_BRIEF, full_brief(2), left_out=4),
        publication=PUBLICATION.model_copy(update={"language": language}),
        vocabulary=Vocabulary(),
        templates=find_templates(),
        settings=EditionSettings(),
    )


def read(of: CompiledEdition, choices: Choices) -> tuple[str, str]:
    selection = Selector(of).select(choices)
    html = decode_part(of.html, VALUES, selection)
    parser = lxml_html.HTMLParser(encoding="utf-8")
    tree = lxml_html.document_fromstring(html.encode(), parser=parser)
    text = " ".join(str(tree.xpath("string(//body)")).split())
    return text, decode_part(of.plain, VALUES, selection)


def english_said() -> list[str]:
    """List what the interface of this edition says in English, longest first."""
    both = " ".join(" ".join(read(compiled(), Choices(detail=d))) for d in ("full", "one-line"))
    squeezed = " ".join(both.split())
    texts = [text for text in TEXTS if isinstance(text, str) and len(text) > 8]
    return [text for text in texts if text in squeezed]


@pytest.mark.parametrize("language", SHIPPED)
@pytest.mark.parametrize("detail", ["full", "one-line"])
def test_nothing_is_left_in_english(language: str, detail: str) -> None:
    translated = {message.id: message.string for message in catalogue(language)}
    own = {text for text in english_said() if translated[text] != text}
    assert len(own) > 15
    choices = Choices(language=f"{language}-XX", detail="full" if detail == "full" else "one-line")
    for text in read(compiled(), choices):
        flat = re.sub("[\u2068\u2069]", "", " ".join(text.split()))
        content = [f"{lens} says" for lens in ("Household Impact", "Institutional View")]
        content += ["Adversary View says", "Also today: seed prices"]
        for said in content:
            flat = flat.replace(said, "")
        assert [words for words in own if words in flat] == []
        assert write_date(date(2026, 11, 23), language) in flat


@pytest.mark.parametrize("language", SHIPPED)
def test_a_publication_says_it_in_its_own_language_to_who_chose_none(language: str) -> None:
    chosen = read(compiled(), Choices(language=language))[1]
    own = read(compiled(language), Choices())[1]
    assert re.sub("[\u2068\u2069]", "", chosen) == re.sub("[\u2068\u2069]", "", own)
    assert read(compiled(language), Choices(language="tlh"))[1] == own


def test_numbers_are_written_as_the_language_does() -> None:
    many = replace(compiled(), words={**compiled().words, "": 12_345})
    assert "12,3" in read(many, Choices(language="en"))[1]
    assert "12.3" in read(many, Choices(language="de"))[1]


def test_the_closest_language_is_taken() -> None:
    assert match_language("de-AT", ("en", "de")) == "de"
    assert match_language("pt_BR", ("pt", "pt-BR")) == "pt-BR"
    assert match_language("tlh", ("en", "de")) == ""


def test_an_operators_catalogue_counts_whole(tmp_path: Path) -> None:
    (tmp_path / "locale").mkdir()
    own = tmp_path / "locale" / "de.po"
    own.write_text('msgid "Also today"\nmsgstr "Heute noch"\n', encoding="utf-8")
    catalogues = read_catalogues((tmp_path, shipped_directory()), {})
    german = catalogues.freeze(["Also today", "In one line"])["de"]
    assert (german.say("Also today"), german.say("In one line")) == ("Heute noch", "In one line")


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("de.po", "nonsense\n", "is no catalogue"),
        ("xx.po", "", "xx is no language"),
        ("de.po", b"\xff\xfe", "is not UTF-8"),
        (
            "de.po",
            'msgid ""\nmsgstr "Plural-Forms: nplurals=1; plural=(n != 1);\\n"\n',
            "names 1 plural forms",
        ),
        (
            "de.po",
            'msgid "{n} word"\nmsgid_plural "{n} words"\nmsgstr[0] "{n} Wort"\nmsgstr[1] "Worte"\n',
            "of several numbers without {n}",
        ),
    ],
)
def test_a_catalogue_that_cannot_be_used_is_named(
    tmp_path: Path, name: str, text: str | bytes, problem: str
) -> None:
    (tmp_path / "locale").mkdir()
    path = tmp_path / "locale" / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(TemplateError, match=re.escape(problem)) as caught:
        read_catalogues((tmp_path,), {})
    assert str(caught.value.file) == str(path)


def test_an_empty_catalogue_is_written_for_who_translates() -> None:
    program = [sys.executable, "-m", "newsletter.render.catalogues"]
    written = subprocess.run([*program, "fr"], capture_output=True, check=True).stdout.decode()
    assert written.count("msgid ") - 1 == len(TEXTS)
    assert f"Plural-Forms: {get_plural('fr')}" in written  # as this release of Babel knows it
    refused = subprocess.run([*program, "xx"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "xx" in refused.stderr
