"""Templates: where they are, and how they run.

An operator's directory comes first, file by file: a file of the same relative name stands in
for the shipped one, so one partial can be replaced without copying the rest. Templates run
in Jinja's sandbox, with undefined names as errors and HTML escaped; they see the data that
they are given and nothing else. What a template produced is never run again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from traceback import walk_tb
from typing import Any

import jinja2
from jinja2.bccache import Bucket
from jinja2.sandbox import ImmutableSandboxedEnvironment

from newsletter.errors import TemplateError
from newsletter.render.markup import MarkSources


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateSet:
    """The directories that templates come from, the first one first."""

    directories: tuple[Path, ...]

    def find(self, name: str) -> Path:
        """Give the file that the template `name` comes from."""
        for directory in self.directories:
            if (path := directory / name).is_file():
                return path
        raise TemplateError(
            f"there is no template {name}",
            file=self.directories[0] if self.directories else None,
            mend="reinstall the program, or put a file of that name into your templates folder",
        )

    def render(
        self,
        name: str,
        variables: Mapping[str, Any],
        functions: Mapping[str, Callable[..., Any]],
        filters: Mapping[str, Callable[..., Any]],
    ) -> str:
        """Run one template.

        Anything wrong in it, or in what it includes, raises `TemplateError` with the file and
        the line. Text from `*.mjml.j2` carries source marks (`markup.MarkSources`).
        """
        main = self.find(name)
        environment = self._environment(functions, filters)
        try:
            return environment.get_template(name).render(variables)
        except jinja2.TemplateSyntaxError as error:
            raise TemplateError(
                _sentence(str(error.message)), file=error.filename or main, line=error.lineno
            ) from None
        except UnicodeDecodeError as error:
            raise TemplateError(
                f"it, or a file that it includes, is not UTF-8 ({error.reason})", file=main
            ) from None
        except (
            jinja2.TemplateError,
            ArithmeticError,
            AttributeError,
            LookupError,
            RecursionError,
            TypeError,
            ValueError,
        ) as error:
            file, line = self._place(error)
            if isinstance(error, jinja2.TemplateNotFound):
                problem = f"there is no template {error.name}"
            else:
                problem = _sentence(str(error) or type(error).__name__)
            raise TemplateError(problem, file=file or main, line=line) from error

    def _environment(
        self,
        functions: Mapping[str, Callable[..., Any]],
        filters: Mapping[str, Callable[..., Any]],
    ) -> jinja2.Environment:
        environment = ImmutableSandboxedEnvironment(
            loader=jinja2.FileSystemLoader(self.directories),
            undefined=jinja2.StrictUndefined,
            autoescape=lambda name: name is None or not name.endswith(".txt.j2"),
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            extensions=[MarkSources],
            bytecode_cache=_COMPILED,
        )
        # The stock globals include `range` and `lipsum`, which serve nobody here but a bomb.
        environment.globals = dict(functions)
        environment.filters.update(filters)
        return environment

    def _place(self, error: BaseException) -> tuple[str | None, int | None]:
        """Find the innermost template line that the error passed through."""
        places = [
            (frame.f_code.co_filename, line)
            for frame, line in walk_tb(error.__traceback__)
            if any(Path(frame.f_code.co_filename).is_relative_to(d) for d in self.directories)
        ]
        return places[-1] if places else (None, None)


class _Memory(jinja2.BytecodeCache):
    """Keeps what Jinja made of each file, by name and content: parsing is most of the work."""

    def __init__(self) -> None:
        self._code: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Take it from here; Jinja sees for itself whether the file is still the same."""
        if code := self._code.get(bucket.key):
            bucket.bytecode_from_string(code)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep it here."""
        self._code[bucket.key] = bucket.bytecode_to_string()


_COMPILED = _Memory()


def find_templates(own: Path | None = None) -> TemplateSet:
    """Give the shipped templates, behind those in the operator's directory if there is one."""
    shipped = shipped_directory()
    if own is None or not own.exists():
        return TemplateSet(directories=(shipped,))
    if not own.is_dir():
        raise TemplateError("is not a folder", file=own, mend="name a folder in templates.path")
    return TemplateSet(directories=(own, shipped))


def shipped_directory() -> Path:
    """Find the templates in the installed wheel, else beside the package in a checkout."""
    package = Path(str(files("newsletter")))
    inside = package / "_templates"
    return inside if inside.is_dir() else package.parent / "templates"


def _sentence(text: str) -> str:
    """Take the first line of a library's message, without its full stop."""
    return text.strip().partition("\n")[0].rstrip(".")
