"""Who takes part: the product's named variants, and the peers that can be had here.

Each is a command that is given host, port, connections, messages and the message's file, and
prints one line of JSON with `messages`, `seconds` and `cpu_seconds`. The peers from npm and
PyPI are installed, in the newest version there is, into a cache folder outside the
repository; remove that folder to get newer ones.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path

from tests.postgres import find_programs

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "newsletter-bench"
SLOW_SHARE = 0.1
"""How many of the messages a slow peer sends where nothing but its speed limits it."""
_RSA_SHARE = 0.25
POSTGRESQL_MEND = "apt-get install postgresql"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """Someone who can send."""

    name: str
    command: tuple[str, ...]
    version: str
    share: float = 1.0
    """The part of the messages that it sends without a delay; a rate needs seconds, not minutes."""
    sends: bool = True
    """Whether it sends at all; else it needs no sink."""
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Missing:
    """A peer that cannot be had here, and how it can."""

    name: str
    mend: str


VARIANTS: Mapping[str, tuple[str, ...]] = {
    "newsletter-process": ("--durability=process",),
    "newsletter-full": ("--durability=full",),
    "newsletter-window8": ("--durability=process", "--window=8"),
    "newsletter-ed25519": ("--durability=process", "--dkim=ed25519"),
    "newsletter-rsa": ("--durability=process", "--dkim=rsa"),
    "newsletter-postgresql": (),
}
"""The product's variants and their options; the first is what the others are compared with."""


def find_contestants(
    wanted: Sequence[str], postgresql: str
) -> tuple[list[Contestant], list[Missing]]:
    """Find, and install where need be, those that are wanted.

    `postgresql` is the URL of a server, or "" where there is none.
    """
    found = [_FINDERS[name](name) for name in _FINDERS if name in wanted]
    contestants = [each for each in found if isinstance(each, Contestant)]
    missing = [each for each in found if isinstance(each, Missing)]
    if not postgresql:
        missing += [Missing(c.name, POSTGRESQL_MEND) for c in contestants if _needs_postgresql(c)]
        return [each for each in contestants if not _needs_postgresql(each)], missing
    return [
        replace(each, command=(*each.command, f"--database={postgresql}"))
        if _needs_postgresql(each)
        else each
        for each in contestants
    ], missing


def _needs_postgresql(contestant: Contestant) -> bool:
    return contestant.name == "newsletter-postgresql"


def find_program(name: str) -> Path | None:
    """Find a program, also where only root's PATH leads."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")
    return Path(path) if path else None


def read_postfix_version() -> str:
    """Read the version of Postfix, whose programs do not tell their own."""
    program = find_program("postconf")
    return _read(program, "-dh", "mail_version") if program else "of unknown version"


def read_postgresql_version() -> str:
    """Read the version of the server that is installed."""
    programs = find_programs()
    found = re.search(r"\d[\d.]+", _read(programs / "postgres", "--version")) if programs else None
    return found[0] if found else "of unknown version"


def _find_product(name: str) -> Contestant:
    revision = _read("git", "-C", ROOT, "describe", "--always", "--dirty") or "no revision"
    return Contestant(
        name=name,
        command=(sys.executable, "-m", "tests.bench.product", *VARIANTS[name]),
        version=f"{metadata.version('newsletter')} ({revision})",
        share=_RSA_SHARE if name.endswith("-rsa") else 1.0,
    )


def _find_signatures(name: str) -> Contestant:
    kind = name.removeprefix("bare-")
    return Contestant(
        name=name,
        command=(sys.executable, "-m", "tests.bench.peers.bare_signing", kind),
        version=f"cryptography {metadata.version('cryptography')}",
        share=_RSA_SHARE if kind == "rsa" else 1.0,
        sends=False,
    )


def _find_smtp_source(name: str) -> Contestant | Missing:
    if find_program("smtp-source") is None:
        return Missing(name, "apt-get install postfix")
    return Contestant(
        name=name,
        command=(sys.executable, "-m", "tests.bench.peers.with_smtp_source"),
        version=f"Postfix {read_postfix_version()}",
    )


def _find_nodemailer(name: str) -> Contestant | Missing:
    node, npm = find_program("node"), find_program("npm")
    if node is None or npm is None:
        return Missing(name, "apt-get install nodejs npm")
    prefix = CACHE / "npm"
    package = prefix / "node_modules" / "nodemailer" / "package.json"
    if not package.exists():
        prefix.mkdir(parents=True, exist_ok=True)
        options = ("--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts")
        _run(npm, "install", "--prefix", prefix, *options, "nodemailer@latest")
    if not package.exists():
        return Missing(name, "npm could not install nodemailer; try again with a network")
    version = json.loads(package.read_text())["version"]
    script = str(ROOT / "tests" / "bench" / "peers" / "nodemailer.cjs")
    return Contestant(
        name=name,
        command=(str(node), script),
        version=f"{version}, Node.js {_read(node, '--version')}",
        share=SLOW_SHARE,
        environment={
            "NODE_PATH": str(package.parents[1]),
            "NODEMAILER_RAW": "1" if name.endswith("-raw") else "",
        },
    )


def _find_smtplib(name: str) -> Contestant:
    return Contestant(
        name=name,
        command=(sys.executable, "-m", "tests.bench.peers.with_smtplib"),
        version=f"Python {sys.version.split()[0]}",
        share=SLOW_SHARE,
    )


def _find_from_pypi(name: str) -> Contestant | Missing:
    folder = CACHE / f"python{sys.version_info.major}.{sys.version_info.minor}"
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    if not (version := _read_version(python, name)):
        _run(python, "-m", "pip", "install", "--quiet", name)
        version = _read_version(python, name)
    if not version:
        return Missing(name, f"pip could not install {name}; try again with a network")
    return Contestant(
        name=name,
        command=(str(python), "-m", f"tests.bench.peers.with_{name}"),
        version=version,
        share=SLOW_SHARE,
    )


def _read_version(python: Path, package: str) -> str:
    return _read(python, "-c", f"import importlib.metadata as m; print(m.version({package!r}))")


def _read(*command: str | Path) -> str:
    return _run(*command).strip()


def _run(*command: str | Path) -> str:
    """Run a command and give its output; "" if it fails or is not there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""


def _finders() -> Iterator[tuple[str, Callable[[str], Contestant | Missing]]]:
    for variant in VARIANTS:
        yield variant, _find_product
    yield "bare-ed25519", _find_signatures
    yield "bare-rsa", _find_signatures
    yield "smtp-source", _find_smtp_source
    yield "nodemailer", _find_nodemailer
    yield "nodemailer-raw", _find_nodemailer
    yield "smtplib", _find_smtplib
    yield "aiosmtplib", _find_from_pypi
    yield "redmail", _find_from_pypi


_FINDERS = dict(_finders())
