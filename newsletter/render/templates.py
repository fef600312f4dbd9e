"""Templates: where they are, and how they run.

An operator's directory comes first, file by file: a file of the same relative name stands in
for the shipped one, so one partial can be replaced without copying the rest. Templates run
in Jinja's sandbox, with undefined names as errors and HTML escaped; they see the data that
they are given and nothing else. What a template produced is never run again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from traceback import walk_tb
from typing import Any

import jinja2
from jinja2.bccache import Bucket
from jinja2.loaders import split_template_path
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from newsletter.errors import TemplateError
from newsletter.render.origin import MarkSources

_OWN_SUFFIXES = frozenset((".j2", ".po"))
_CLASS_OF_METHOD = re.compile(r"\b[A-Z]\w*\.(?=\w+\()")
_LARGEST_PRODUCT = 100_000  # items of a text or list
_LARGEST_BITS = 1_000  # of a number


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateSet:
    """The directories that templates come from, the first one first."""

    directories: tuple[Path, ...]

    @property
    def has_own(self) -> bool:
        """Whether anything of the operator's own may run, or be read, with these templates."""
        return any(
            path.suffix in _OWN_SUFFIXES
            for directory in self.directories[:-1]
            for path in directory.rglob("*")
        )

    def list_names(self) -> tuple[str, ...]:
        """List the templates by name, each once, whichever folder it comes from."""
        names = {
            path.relative_to(directory).as_posix()
            for directory in self.directories
            for path in directory.rglob("*.j2")
        }
        return tuple(sorted(names))

    def hash_all(self) -> str:
        """Name all templates and catalogues together, as they are now, by a SHA-256."""
        digest = hashlib.sha256()
        names = {
            path.relative_to(directory).as_posix()
            for directory in self.directories
            for suffix in _OWN_SUFFIXES
            for path in directory.rglob(f"*{suffix}")
        }
        for name in sorted(names):
            data = self.find(name).read_bytes()
            digest.update(f"{name}\n{len(data)}\n".encode() + data)
        return digest.hexdigest()

    def find(self, name: str) -> Path:
        """Give the file that the template `name` comes from."""
        if path := self._locate(name):
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
        the line. Text from `*.mjml.j2` carries source marks (`origin.MarkSources`).
        """
        main = self.find(name)
        environment = self._environment(functions, filters)
        try:
            return environment.get_template(name).render(variables)
        except jinja2.TemplateSyntaxError as error:
            raise TemplateError(
                _sentence(str(error.message)), file=error.filename or main, line=error.lineno
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
            problem, mend = _explain(error)
            raise TemplateError(problem, file=file or main, line=line, mend=mend) from error

    def _environment(
        self,
        functions: Mapping[str, Callable[..., Any]],
        filters: Mapping[str, Callable[..., Any]],
    ) -> jinja2.Environment:
        environment = _Environment(
            loader=jinja2.FunctionLoader(self._read),
            undefined=_Undefined,
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

    def _locate(self, name: str) -> Path | None:
        """Find the first file of that name; raise `TemplateError` for what is there but no file."""
        parts = split_template_path(name)
        for directory in self.directories if parts else ():
            path = directory.joinpath(*parts)
            try:
                if path.is_file():
                    return path
                is_there = path.exists()
            except OSError as error:
                raise _unreadable(path, error) from error
            if is_there:
                raise TemplateError(
                    "is a folder and should be a file", file=path, mend="move it or rename it"
                )
        return None

    def _read(self, name: str) -> tuple[str, str, None] | None:
        """Read a template's text and file for Jinja, which raises for None."""
        path = self._locate(name)
        if path is None:
            return None
        try:
            data = path.read_bytes()
            return data.decode("utf-8-sig"), str(path), None
        except OSError as error:
            raise _unreadable(path, error) from error
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise TemplateError(
                f"is not UTF-8 ({error.reason})", file=path, line=line, mend="save it as UTF-8"
            ) from None

    def _place(self, error: BaseException) -> tuple[str | None, int | None]:
        """Find the innermost template line that the error passed through."""
        places = [
            (frame.f_code.co_filename, line)
            for frame, line in walk_tb(error.__traceback__)
            if not frame.f_code.co_filename.endswith(".py")  # a folder may hold the program, too
            and any(Path(frame.f_code.co_filename).is_relative_to(d) for d in self.directories)
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


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, in which a number cannot explode.

    A text of a billion characters, or a power of powers, would be worked out in C, where no
    limit of time can tell the line it stands in.
    """

    intercepted_binops = frozenset(("*", "**"))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Work out a product or a power if it stays small."""
        if _measure(operator, left, right) > 1:
            shown = "power" if operator == "**" else "product"
            raise jinja2.TemplateRuntimeError(f"this {shown} ({operator}) is too large")
        return super().call_binop(context, operator, left, right)


def _measure(operator: str, left: Any, right: Any) -> float:
    """Measure a result before it is worked out; 1 is the most there may be."""
    if isinstance(left, int) and isinstance(right, int):
        bits, more = left.bit_length(), right.bit_length()
        return max(more, bits * right if operator == "**" else bits + more) / _LARGEST_BITS
    sizes = [len(v) if isinstance(v, str | list | tuple) else v for v in (left, right)]
    if sizes != [left, right] and all(isinstance(size, int) for size in sizes):
        return float(sizes[0] * sizes[1] / _LARGEST_PRODUCT)
    return 0


class _Undefined(jinja2.StrictUndefined):
    """Names what a view of the edition has, in place of the program's own classes."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        view = self._undefined_obj
        if not is_dataclass(view) or isinstance(view, type):
            return super()._undefined_message
        near = get_close_matches(str(self._undefined_name), [f.name for f in fields(view)], 1)
        said = f"{_say_view(view)} has no {self._undefined_name!r}"
        return f"{said} (did you mean {near[0]!r}?)" if near else said


def _say_view(view: object) -> str:
    return type(view).__name__.removesuffix("View").lower()


def _explain(error: Exception) -> tuple[str, str]:
    """Say what went wrong, and how to mend it where that is plain."""
    if isinstance(error, jinja2.TemplateNotFound):
        return f"there is no template {error.name}", "check its spelling"
    if isinstance(error, RecursionError):
        return "goes on into itself without end", "take out what includes or calls itself"
    said = _sentence(str(error) or type(error).__name__)
    return _CLASS_OF_METHOD.sub("", said), ""


def _unreadable(path: Path, error: OSError) -> TemplateError:
    return TemplateError(
        f"cannot be read ({error.strerror})", file=path, mend="make it readable for the program"
    )


def _sentence(text: str) -> str:
    """Take the first line of a library's message, without its full stop."""
    return text.strip().partition("\n")[0].rstrip(".")
