"""The README keeps its word: its table of settings is the settings', its commands exist.

`python -m tests.unit.test_readme` writes the table anew.
"""

from __future__ import annotations

import re
from pathlib import Path

from typer.core import TyperGroup
from typer.main import get_command

from newsletter.cli import build_app
from newsletter.settings import describe_settings

README = Path(__file__).parents[2] / "README.md"
_TABLE = re.compile(r"(<!-- settings:.*?-->\n).*?(<!-- /settings -->)", re.DOTALL)
_LONGEST_DEFAULT = 60


def _settings_table() -> str:
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for row in describe_settings():
        default = row.default
        if len(default) > _LONGEST_DEFAULT:
            default = default[:_LONGEST_DEFAULT].rsplit(" ", 1)[0] + " …"
        shown = f"`{default}`" if default else ""
        rows.append(f"| `{row.name}` | {shown} | {row.help.replace('|', '&#124;')} |")
    return "\n".join(rows) + "\n"


def _with_table(text: str) -> str:
    return _TABLE.sub(lambda found: found[1] + _settings_table() + found[2], text)


def test_every_setting_stands_in_the_readme() -> None:
    text = README.read_text()
    assert _with_table(text) == text, "run: python -m tests.unit.test_readme"


def test_every_setting_has_a_help() -> None:
    assert all(row.help for row in describe_settings())


def test_every_command_stands_in_the_readme() -> None:
    app = build_app()
    names = [command.callback.__name__ for command in app.registered_commands if command.callback]
    names += [str(group.name) for group in app.registered_groups]
    text = README.read_text()
    assert len(names) > 20
    assert not [name for name in names if f"| `newsletter {name}" not in text]


def test_what_is_said_to_have_json_has_it() -> None:
    said = re.search(r"(`gather`.*?)\ntake `--json`", README.read_text(), re.DOTALL)
    assert said is not None
    named = set(re.findall(r"`([a-z ]+)`", said[1]))
    root = get_command(build_app())
    assert isinstance(root, TyperGroup)
    having = set()
    for name, command in root.commands.items():
        group = {"": command}
        if isinstance(command, TyperGroup):  # and what it does itself, without a command of its own
            group = {**command.commands, **(group if command.invoke_without_command else {})}
        for sub, leaf in group.items():
            if any("--json" in option.opts for option in leaf.params):
                having.add(f"{name} {sub}".strip())
    assert named == having


def test_the_first_two_lines_of_code_are_the_two_commands() -> None:
    code = re.findall(r"```\n(.*?)\n```", README.read_text(), re.DOTALL)
    assert code[0].endswith("newsletter demo")
    assert code[1].endswith("pytest")


if __name__ == "__main__":
    README.write_text(_with_table(README.read_text()))
