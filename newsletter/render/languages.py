"""The interface's words in a reader's language: catalogues read, and one phrase of them said.

A catalogue is a .po file that an operator can read and edit, `locale/LANGUAGE.po` in the
templates folder, its msgids the English text of the templates. What a compiled edition keeps
of it is a `Language`, which needs no catalogue any more: a copy is the same months later,
whatever was translated anew meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from gettext import c2py
from pathlib import Path
from typing import Any

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_skeleton
from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import PoFileError, read_po
from babel.numbers import get_group_symbol

from newsletter.errors import TemplateError

SOURCE = "en"
"""The language that templates are written in; it has no catalogue."""

_NUMBERS_TRIED = 200  # every rule of every language has shown all its forms by then


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """What an edition says in one language."""

    plural: str = "(n != 1)"
    """Which plural form a number takes: a C expression of n, as in a catalogue's header."""
    group: str = ","
    """What stands between groups of three digits."""
    phrases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The forms of each phrase by its English text; one that is missing is said in English."""

    def say(self, text: str, plural: str = "", number: int | None = None) -> str:
        """Say a phrase; with a number its plural form, and the number in place of {n}."""
        if number is None:
            return self.phrases.get(text, (text,))[0]
        english = (text, plural or text)
        forms = self.phrases.get(text)
        said = forms[_plural_rule(self.plural)(number)] if forms else english[number != 1]
        return said.replace("{n}", self.write_number(number))

    def write_number(self, number: int) -> str:
        """Write a whole number with its digits in groups."""
        return f"{number:,}".replace(",", self.group)

    def to_document(self) -> dict[str, Any]:
        """Give it as JSON."""
        phrases = {text: list(forms) for text, forms in self.phrases.items()}
        return {"plural": self.plural, "group": self.group, "phrases": phrases}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Language:
        """Read what `to_document` wrote."""
        _plural_rule(document["plural"])
        return cls(
            plural=document["plural"],
            group=document["group"],
            phrases={text: tuple(forms) for text, forms in document["phrases"].items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogues:
    """Every language that there is, by its code; `SOURCE` always is."""

    by_code: Mapping[str, Catalog]
    days: Mapping[str, date]
    """Days by how `context` writes them: each language writes them in its own way."""

    def knows(self, text: str) -> bool:
        """Say whether any language has words of its own for an English text."""
        return text in self.days or any(text in catalog for catalog in self.by_code.values())

    def freeze(self, texts: Iterable[str]) -> dict[str, Language]:
        """Give what each language says of these texts."""
        wanted = sorted({*texts})
        return {code: self._freeze(code, wanted) for code in (SOURCE, *self.by_code)}

    def _freeze(self, code: str, texts: list[str]) -> Language:
        locale = Locale.parse(code, sep="-")
        catalog = self.by_code.get(code)
        phrases: dict[str, tuple[str, ...]] = {}
        for text in texts:
            if day := self.days.get(text):
                phrases[text] = (write_date(day, code),)
            elif (
                catalog is not None
                and (message := catalog.get(text)) is not None
                and not message.fuzzy
            ):
                said = message.string
                forms = (said,) if isinstance(said, str) else tuple(said or ())
                if forms and all(forms):
                    phrases[text] = forms
        return Language(
            plural=catalog.plural_expr if catalog is not None else "(n != 1)",
            group=get_group_symbol(locale),
            phrases=phrases,
        )


def read_catalogues(directories: Iterable[Path], days: Mapping[str, date]) -> Catalogues:
    """Read the catalogues of these folders; of two for one language the first counts.

    Raises `TemplateError` with file and line for one that cannot be read.
    """
    by_code: dict[str, Catalog] = {}
    for directory in directories:
        for path in sorted((directory / "locale").glob("*.po")):
            if path.stem not in by_code:
                by_code[path.stem] = _read_catalogue(path)
    by_code.pop(SOURCE, None)
    return Catalogues(by_code=by_code, days=days)


def read_language(directories: Iterable[Path], wanted: str) -> Language:
    """Read all that the catalogue of a language says; English where there is none."""
    catalogues = read_catalogues(directories, {})
    code = match_language(wanted, catalogues.by_code)
    ids = (message.id for message in catalogues.by_code[code]) if code else ()
    texts = [each if isinstance(each, str) else each[0] for each in ids]
    return catalogues.freeze(filter(None, texts))[code or SOURCE]


def match_language(wanted: str, languages: Iterable[str]) -> str:
    """Find the language that comes closest to a BCP 47 tag; "" if none does."""
    known = {code.lower(): code for code in languages}
    parts = wanted.lower().replace("_", "-").split("-")
    while parts:
        if code := known.get("-".join(parts)):
            return code
        parts.pop()
    return ""


def write_date(day: date, language: str, skeleton: str = "") -> str:
    """Write a date out as its language does; as English does where nobody knows the language.

    A skeleton, such as "yMMMM", says what of it is written (CLDR); without one all is.
    """
    try:
        return _write_date(day, Locale.parse(language, sep="-"), skeleton)
    except (ValueError, UnknownLocaleError):
        return _write_date(day, Locale.parse(SOURCE), skeleton)


def _write_date(day: date, locale: Locale, skeleton: str) -> str:
    if skeleton:
        return format_skeleton(skeleton, day, locale=locale)
    return format_date(day, "full", locale=locale)


def _read_catalogue(path: Path) -> Catalog:
    try:
        written = path.stat()
    except OSError as error:
        raise TemplateError(f"cannot be read ({error})", file=path) from None
    return _parse_catalogue(path, written.st_mtime_ns, written.st_size)


@lru_cache(maxsize=64)
def _parse_catalogue(path: Path, _written_ns: int, _bytes: int) -> Catalog:
    """Parse a catalogue; one that has not been written since is parsed once: it takes long."""
    try:
        Locale.parse(path.stem, sep="-")
        with path.open("rb") as file:
            catalog = read_po(file, locale=path.stem.replace("-", "_"), abort_invalid=True)
    except UnknownLocaleError:
        raise TemplateError(
            f"{path.stem} is no language", file=path, mend='name it after one, such as "fr.po"'
        ) from None
    except PoFileError as error:
        raise TemplateError(
            f"is no catalogue ({error})", file=path, line=getattr(error, "lineno", -1) + 1 or None
        ) from None
    except UnicodeDecodeError:
        raise TemplateError("is not UTF-8", file=path, mend="save it as UTF-8") from None
    except (ValueError, OSError) as error:
        raise TemplateError(f"cannot be read ({error})", file=path) from None
    _check_numbers(catalog, path)
    return catalog


def _check_numbers(catalog: Catalog, path: Path) -> None:
    """Refuse a catalogue that could not say some number, before a mail has to say it."""
    try:
        rule = _plural_rule(catalog.plural_expr)
        chosen = Counter(rule(number) for number in range(_NUMBERS_TRIED))
    except (ValueError, ArithmeticError):
        raise TemplateError(f"has no rule for plurals in {catalog.plural_expr!r}", file=path) from (
            None
        )
    if max(chosen) >= catalog.num_plurals:
        raise TemplateError(
            f"names {catalog.num_plurals} plural forms, and its rule chooses {max(chosen) + 1}",
            file=path,
            mend="mend its Plural-Forms",
        )
    for message in catalog:
        forms = message.string if message.pluralizable else None
        if not isinstance(forms, (tuple, list)) or message.fuzzy or not any(forms):
            continue
        if len(forms) != catalog.num_plurals or not all(forms):
            raise _refuse(message, path, f"needs {catalog.num_plurals} forms, none of them empty")
        for form, text in enumerate(forms):
            if chosen[form] > 1 and "{n}" not in text:
                raise _refuse(message, path, f"says {text!r} of several numbers without {{n}}")


def _refuse(message: Message, path: Path, problem: str) -> TemplateError:
    return TemplateError(f"{message.id[0]!r} {problem}", file=path, line=message.lineno)


@lru_cache(64)
def _plural_rule(expression: str) -> Callable[[int], int]:
    rule: Callable[[int], int] = c2py(expression)
    return rule
