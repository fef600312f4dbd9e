from __future__ import annotations

import io
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from newsletter.cli.session import Session
from newsletter.cli.subscribers import subscribers
from newsletter.errors import AudienceError, RefusedError

SETTINGS = """
[publication]
sender = "Brief <brief@news.example>"
list_id = "daily.news.example"
url = "https://news.example"
[delivery]
durability = "process"
"""


class Operator:
    """Types commands in a folder with a configuration."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "newsletter.toml").write_text(SETTINGS, encoding="utf-8")

    def file(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    def types(self, *words: str, stdin: str | None = None) -> Result:
        session = Session(self.folder / "newsletter.toml")
        return CliRunner().invoke(
            subscribers, words, obj=session, input=stdin, catch_exceptions=True
        )

    def imports(self, *words: str, stdin: str | None = None) -> Result:
        """Import readers who agreed somewhere."""
        return self.types("import", *words, "--consent-source", "web form", stdin=stdin)

    def does(self, *words: str, stdin: str | None = None) -> str:
        result = self.types(*words, stdin=stdin)
        assert result.exit_code == 0, result.output
        return result.stdout

    def readers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.does("list", "--json"))
        return found


@pytest.fixture
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    monkeypatch.setenv("NEWSLETTER_SECRET_KEY", "k" * 40)
    monkeypatch.setenv("COLUMNS", "200")
    return Operator(tmp_path)


def test_import_sums_up_and_lists_bad_rows(operator: Operator) -> None:
    rows = "ana@b.example,Bern\n" + "x\n" * 25
    said = operator.does(
        "import", "--consent-source", "web form", operator.file("a.csv", "email,city\n" + rows)
    )
    assert "fields.city" in said
    assert 'email: "x" cannot be mailed' in said
    assert "and 5 more; --rejects FILE writes all" in said
    assert [reader["email"] for reader in operator.readers()] == ["ana@b.example"]


def test_import_as_json(operator: Operator) -> None:
    said = operator.does(
        "import",
        "--consent-source",
        "web form",
        operator.file("a.csv", "email\nana@b.example\nx\n"),
        "--json",
    )
    report = json.loads(said)
    assert (report["added"], report["bad"], report["bad_rows"][0]["line"]) == (1, 1, 3)


def test_import_fails_only_if_every_row_is_bad(operator: Operator) -> None:
    assert operator.imports(operator.file("a.csv", "email\nx\ny\n")).exit_code == 1
    assert operator.imports(operator.file("b.csv", "email\n")).exit_code == 0


def test_import_from_standard_input(operator: Operator) -> None:
    operator.does("import", "--consent-source", "web form", "-", stdin="email\nana@b.example\n")
    assert len(operator.readers()) == 1


def test_import_writes_rejects_only_when_there_are_some(operator: Operator) -> None:
    rejects = operator.folder / "rejects.csv"
    operator.does(
        "import",
        "--consent-source",
        "web form",
        operator.file("a.csv", "email\na@b.example\n"),
        "--rejects",
        str(rejects),
    )
    assert not rejects.exists()
    file = operator.file("b.csv", "email\nb@b.example\nx\n")
    assert "mend it" in operator.does(
        "import", "--consent-source", "web form", file, "--rejects", str(rejects)
    )
    assert '"3"' in rejects.read_text(encoding="utf-8-sig")
    refused = operator.imports(file, "--rejects", str(rejects))
    assert isinstance(refused.exception, RefusedError)


def test_import_of_an_unusable_file_leaves_no_rejects(operator: Operator) -> None:
    rejects = operator.folder / "rejects.csv"
    file = operator.file("a.csv", "name\nAna\n")
    refused = operator.imports(file, "--rejects", str(rejects))
    assert isinstance(refused.exception, AudienceError)
    assert str(refused.exception).startswith(f"{file}, line 1: ")
    assert not rejects.exists()


def test_progress_shows_on_a_terminal_only(operator: Operator) -> None:
    file = operator.file("a.csv", "email\nana@b.example\n")
    assert operator.imports(file).stderr == ""
    session = Session(operator.folder / "newsletter.toml")
    session.err = Console(file=io.StringIO(), force_terminal=True)
    CliRunner().invoke(subscribers, ["import", file, "--consent-source", "web form"], obj=session)
    assert isinstance(session.err.file, io.StringIO)
    assert "Importing" in session.err.file.getvalue()


def test_export_and_import_again(operator: Operator) -> None:
    operator.does(
        "import",
        "--consent-source",
        "web form",
        operator.file("a.csv", "email,city\n=ana@b.example,=1+1\n"),
    )
    target = operator.folder / "out.csv"
    operator.does("export", str(target))
    assert target.read_bytes().startswith(b'\xef\xbb\xbf"email"')
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    report = json.loads(
        operator.does("import", "--consent-source", "web form", str(target), "--json")
    )
    assert report["unchanged"] == 1
    assert operator.does("export").startswith('"email"')
    assert "ana" not in operator.does("export", "--status", "bounced")


def test_export_never_replaces_a_file_unasked(operator: Operator) -> None:
    operator.does("add", "ana@b.example")
    target = operator.file("out.csv", "precious")
    refused = operator.types("export", target)
    assert isinstance(refused.exception, RefusedError)
    assert "--force" in str(refused.exception)
    assert Path(target).read_text(encoding="utf-8") == "precious"
    operator.does("export", target, "--force")
    assert "ana@b.example" in Path(target).read_text(encoding="utf-8")
    assert not list(operator.folder.glob(".out.csv*"))


def test_export_into_no_folder_is_refused(operator: Operator) -> None:
    refused = operator.types("export", str(operator.folder / "no" / "out.csv"))
    assert isinstance(refused.exception, RefusedError)
    assert "cannot be written" in str(refused.exception)


def test_list_as_a_table(operator: Operator) -> None:
    operator.does(
        "import",
        "--consent-source",
        "web form",
        "-",
        stdin="email\n" + "".join(f"r{n}@b.example\n" for n in range(120)),
    )
    said = operator.does("list")
    assert "100 of 120 shown" in said
    assert "r99@b.example" in said
    assert "r100@b.example" not in said
    assert "2 of 120 shown" in operator.does("list", "--limit", "2")
    assert "0 of 0 shown" in operator.does("list", "--status", "bounced")


def test_list_as_json(operator: Operator) -> None:
    assert operator.readers() == []
    operator.does(
        "import",
        "--consent-source",
        "web form",
        "-",
        stdin="email,minutes,city\nana@b.example,5,Köln\nbo@b.example\n",
    )
    ana, bo = operator.readers()
    assert (ana["email"], ana["status"]) == ("ana@b.example", "active")
    assert (ana["choices"], ana["fields"]) == ({"minutes": 5}, {"city": "Köln"})
    assert bo["email"] == "bo@b.example"


def test_add_takes_every_column_of_a_table(operator: Operator) -> None:
    said = operator.does(
        "add", "Ana Souza <ana@b.example>", "--set", "minutes=5", "--set", "City=Köln = K"
    )
    assert said == "ana@b.example added (active).\n"
    (ana,) = operator.readers()
    assert (ana["name"], ana["choices"]) == ("Ana Souza", {"minutes": 5})
    assert ana["fields"] == {"city": "Köln = K"}
    assert "nothing changed" in operator.does("add", "ana@b.example")
    assert "updated" in operator.does("add", "ana@b.example", "--name", "Ana")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nobody"], 'no "@"'),
        (["ana@b.example", "--set", "minutes=7"], "minutes"),
        (["ana@b.example", "--set", "email=bo@b.example"], "mean the same"),
    ],
)
def test_add_refuses_what_an_import_would(operator: Operator, words: list[str], said: str) -> None:
    refused = operator.types("add", *words)
    assert isinstance(refused.exception, AudienceError)
    assert said in str(refused.exception)


def test_add_explains_its_usage(operator: Operator) -> None:
    assert operator.types("add", "ana@b.example", "--set", "minutes").exit_code == 2


def test_remove_and_bring_back(operator: Operator) -> None:
    operator.does("add", "ana@b.example")
    assert operator.does("remove", "ANA@b.example", "no@b.example") == (
        "ANA@b.example removed.\nno@b.example was no reader; it is kept out from now on.\n"
    )
    assert [reader["status"] for reader in operator.readers()] == ["unsubscribed"]
    assert isinstance(operator.types("add", "ana@b.example").exception, AudienceError)
    said = operator.does("add", "ana@b.example", "--again", "--consent-source", "letter")
    assert said == "ana@b.example brought back (active).\n"


def test_import_wants_to_know_where_readers_agreed(operator: Operator) -> None:
    file = operator.file("a.csv", "email\nana@b.example\n")
    refused = operator.types("import", file)
    assert str(refused.exception) == (
        f"{file}, consent_source: says nowhere where its readers agreed to be mailed; "
        'add --consent-source "web form 2025" or a column consent_source.'
    )
    operator.does("import", file, "--consent-source", "web form")
    assert operator.readers()[0]["consent_source"] == "web form"


def test_a_dry_run_shows_the_changes(operator: Operator) -> None:
    operator.does("add", "ana@b.example", "--name", "Ana")
    operator.does("remove", "out@b.example")
    rows = "email,name,minutes\nana@b.example,Anna,5\nout@b.example,,\nnew@b.example,,\nx,,\n"
    file = operator.file("a.csv", rows)
    said = operator.does("import", file, "--dry-run", "--consent-source", "form")
    assert "Dry run: nothing was changed" in said
    assert "name: Ana → Anna; consent_source: nothing → form; choices.minutes: nothing → 5" in said
    fields = "Changes, by field: choices.minutes 1, consent_source 1, name 1"
    assert fields in " ".join(said.split())
    assert "out@b.example" in said
    assert "unsubscribed" in said
    document = json.loads(
        operator.does("import", file, "--dry-run", "--consent-source", "form", "--json")
    )
    assert (document["dry_run"], document["import"], document["added"]) == (True, None, 1)
    assert document["changed"][0]["changes"]["name"] == ["Ana", "Anna"]
    assert document["bad_rows"][0]["line"] == 5
    assert [reader["name"] for reader in operator.readers()] == ["Ana"]


def test_columns_can_be_mapped(operator: Operator) -> None:
    file = operator.file("a.csv", "Contact,Who\nana@b.example,Ana\n")
    operator.does(
        "import", file, "--map", "contact=email", "--map", "Who=name", "--consent-source", "form"
    )
    assert operator.readers()[0]["name"] == "Ana"
    refused = operator.types("import", file, "--map", "Nothing=email", "--consent-source", "form")
    assert '"Nothing" is no column of the file' in str(refused.exception)


def test_an_import_is_listed_and_undone(operator: Operator) -> None:
    assert "Nothing was imported yet" in operator.does("imports")
    operator.imports("-", stdin="email\nana@b.example\nbo@b.example\n")
    (record,) = json.loads(operator.does("imports", "--json"))
    assert (record["import"], record["state"], record["counts"]["added"]) == (1, "finished", 2)
    assert "finished" in operator.does("imports")
    operator.does("add", "bo@b.example", "--name", "Bo")
    refused = operator.types("undo", "1")
    assert isinstance(refused.exception, RefusedError)
    assert "--yes" in str(refused.exception)
    said = operator.does("undo", "1", "--yes")
    assert "1 reader removed" in said
    assert "was changed since" in said
    assert [reader["email"] for reader in operator.readers()] == ["bo@b.example"]
    assert "undone" in operator.does("imports")
    again = operator.types("undo", "1", "--yes")
    assert "import 1 was undone on" in str(again.exception)


def test_everything_about_one_reader(operator: Operator) -> None:
    operator.imports("-", stdin="email,city\nana@b.example,Bern\n")
    document = json.loads(operator.does("export", "--everything", "ANA@b.example"))
    assert document["reader"]["fields"] == {"city": "Bern"}
    target = operator.folder / "ana.json"
    operator.does("export", str(target), "--everything", "ana@b.example")
    assert json.loads(target.read_text(encoding="utf-8")) == document
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    refused = operator.types("export", "--everything", "no@b.example")
    assert "nothing is held about no@b.example" in str(refused.exception)
    assert operator.types("export", "--everything", "a@b.c", "--status", "active").exit_code == 2


def test_erase_asks_and_is_final(operator: Operator) -> None:
    operator.does("add", "ana@b.example")
    refused = operator.types("erase", "ana@b.example")
    assert isinstance(refused.exception, RefusedError)
    assert len(operator.readers()) == 1
    assert operator.does("erase", "ana@b.example", "--yes") == "ana@b.example is erased.\n"
    assert operator.readers() == []
    assert "ana@b.example was no reader; it is kept out from now on." in operator.does(
        "erase", "ana@b.example", "--yes"
    )
    refused = operator.types("add", "ana@b.example", "--again", "--consent-source", "letter")
    assert "kept out (erased), and that is final" in str(refused.exception)
    assert "was no reader" in operator.does("remove", "ana@b.example")


def test_clean_lists_and_changes_only_what_it_is_told(operator: Operator) -> None:
    for email in ("info@b.example", "ana@gmial.com", "bo@b.example"):
        operator.does("add", email)
    said = operator.does("clean")
    assert "probably ana@gmail.com" in said
    assert "info@ is read by whoever is on duty" in said
    assert "typo 1, role 1" in said or "role 1, typo 1" in said
    assert len(operator.readers()) == 3
    refused = operator.types("clean", "--remove", "typo")
    assert isinstance(refused.exception, RefusedError)
    document = json.loads(
        operator.does("clean", "--remove", "typo", "--suppress", "role", "--yes", "--json")
    )
    assert (document["suppressed"], document["removed"], len(document["problems"])) == (1, 1, 2)
    left = {reader["email"]: reader["status"] for reader in operator.readers()}
    assert left == {"info@b.example": "unsubscribed", "bo@b.example": "active"}
    assert "Every address looks right." in operator.does("clean")


@pytest.mark.parametrize(
    "words",
    [
        ["--remove", "everything"],
        ["--remove", "typo", "--suppress", "typo"],
        ["--suppress", "dead"],
        ["--nameserver", "127.0.0.1"],
        ["--dns", "--nameserver", "nonsense"],
    ],
)
def test_clean_explains_its_usage(operator: Operator, words: list[str]) -> None:
    assert operator.types("clean", *words).exit_code == 2


def test_list_and_export_take_a_segment(operator: Operator) -> None:
    operator.imports("-", stdin="email,minutes\nana@b.example,5\nbo@b.example,3\n")
    assert "1 of 1 shown" in operator.does("list", "--segment", "minutes:5")
    exported = operator.does("export", "--segment", "minutes:3")
    assert "bo@b.example" in exported
    assert "ana@b.example" not in exported
    refused = operator.types("list", "--segment", "minute:5")
    assert str(refused.exception).startswith('segment: "minute:5" asks for minute; there is')
