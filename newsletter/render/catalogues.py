"""All that a catalogue has to say: `python -m newsletter.render.catalogues fr > fr.po`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from io import BytesIO

from babel import Locale, UnknownLocaleError
from babel.messages.catalog import Catalog
from babel.messages.pofile import write_po
from jinja2.ext import babel_extract

from newsletter.errors import NewsletterError
from newsletter.render.context import shorten_lens
from newsletter.render.templates import TemplateSet, find_templates
from newsletter.settings import Vocabulary

_KEYWORDS = ("_", "ngettext")
_OPTIONS = {"trim_blocks": "true", "lstrip_blocks": "true", "silent": "false"}

Text = str | tuple[str, str]
"""English words, or their singular and plural."""


def list_texts(templates: TemplateSet, vocabulary: Vocabulary) -> tuple[Text, ...]:
    """List what the templates and the vocabulary say, each text once."""
    return tuple(dict.fromkeys((*_list_written(templates), *_list_named(vocabulary))))


def write_empty(language: str, texts: tuple[Text, ...]) -> str:
    """Write a catalogue for a person to fill in. Raises `UnknownLocaleError`."""
    locale = Locale.parse(language, sep="-")
    catalog = Catalog(
        locale=locale, header_comment=f"# {locale.english_name}: the words of the interface."
    )
    catalog.fuzzy = False
    for text in texts:
        catalog.add(text)
    written = BytesIO()
    write_po(written, catalog, width=0, omit_header=False)
    return written.getvalue().decode()


def _list_written(templates: TemplateSet) -> Iterator[Text]:
    for name in templates.list_names():
        path = templates.find(name)
        with path.open("rb") as file:
            for _line, _function, said, _comments in babel_extract(file, _KEYWORDS, (), _OPTIONS):
                words = [said] if isinstance(said, str) else [word for word in said or () if word]
                if len(words) > 1:
                    yield words[0], words[1]
                else:
                    yield from words


def _list_named(vocabulary: Vocabulary) -> Iterator[str]:
    yield vocabulary.why_heading
    yield vocabulary.quick_take_heading
    yield from vocabulary.points
    yield vocabulary.perspectives_heading
    yield vocabulary.disclaimer
    yield vocabulary.sponsor_label
    yield vocabulary.other_heading
    for lens in vocabulary.lenses:
        yield lens.name
        yield shorten_lens(lens.name)
        if lens.caveat:
            yield lens.caveat


def _main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write("name one language, such as: python -m newsletter.render.catalogues fr\n")
        return 2
    try:
        texts = list_texts(find_templates(), Vocabulary())
        sys.stdout.write(write_empty(arguments[0], texts))
    except (ValueError, UnknownLocaleError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except NewsletterError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
