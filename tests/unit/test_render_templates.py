"""Finding templates, running them, and what is said when one of them is wrong."""

import socket
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from newsletter.audience.reader import Choices
from newsletter.briefs.model import Brief, Source
from newsletter.editions.model import Edition, Window
from newsletter.errors import TemplateError
from newsletter.render import templates as templates_module
from newsletter.render.compile import compile_edition
from newsletter.render.compiled import CompiledEdition
from newsletter.render.inline import inline_styles
from newsletter.render.preview import decode_part
from newsletter.render.selection import Selector
from newsletter.render.templates import find_templates, shipped_directory
from newsletter.settings import EditionSettings, Publication, Vocabulary

PUBLICATION = Publication(
    name="Morning Ledger",
    sender="Ledger <ledger@news.example>",
    list_id="daily.news.example",
    url="https://news.example",
)
EDITION = Edition(
    date=date(2026, 11, 23),
    window=Window(
        start=datetime(2026, 11, 22, tzinfo=UTC), cut_off=datetime(2026, 11, 23, tzinfo=UTC)
    ),
    subject="Harbor vote",
    preheader="",
    briefs=(
        Brief(
            title="Harbor <city> & port",
            summary="A vote was held.",
            sources=(Source(name="post.example"),),
        ),
    ),
)

Run = Callable[[str, str], CompiledEdition]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Compile the edition with one template of the operator's own."""

    def run_with(name: str, text: str) -> CompiledEdition:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return compile_edition(
            EDITION,
            publication=PUBLICATION,
            vocabulary=Vocabulary(),
            templates=find_templates(tmp_path),
            settings=EditionSettings(),
        )

    return run_with


def read(compiled: CompiledEdition, kind: str, values: dict[str, str]) -> str:
    part = compiled.html if kind == "html" else compiled.plain
    return decode_part(part, values, Selector(compiled).select(Choices()))


def quiet(rows: str) -> str:
    """Write a digest around rows, the first of them in line 2."""
    return (
        f"<mjml><mj-body><mj-section><mj-column>\n{rows}</mj-column></mj-section></mj-body></mjml>"
    )


def test_an_operators_partial_stands_in_for_the_shipped_one_alone(run: Run) -> None:
    compiled = run(
        "partials/masthead.mjml.j2",
        "<mj-text><h1>The {{ publication.name }}</h1>{{ edition.briefs[0].title }}</mj-text>",
    )
    html = read(compiled, "html", {})
    assert "<h1" in html
    assert "The Morning Ledger</h1>Harbor &lt;city&gt; &amp; port" in html  # escaped by itself
    assert "A vote was held." in html  # the other partials are the shipped ones


def test_without_a_folder_of_their_own_the_shipped_templates_are_used(tmp_path: Path) -> None:
    assert find_templates(tmp_path / "none").directories == (shipped_directory(),)
    assert find_templates().find("digest.mjml.j2").parent == shipped_directory()


def test_templates_inside_the_package_come_before_the_checkouts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "newsletter"
    package.mkdir()
    monkeypatch.setattr(templates_module, "files", lambda name: tmp_path / name)
    assert shipped_directory() == tmp_path / "templates"
    (package / "_templates").mkdir()
    assert shipped_directory() == package / "_templates"


def test_a_templates_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "templates").touch()
    with pytest.raises(TemplateError, match="templates: is not a folder"):
        find_templates(tmp_path / "templates")


FAULTS = {
    "syntax": ("<mj-text>a</mj-text>\n{% if x %}\n", 4, "Unexpected end of template"),
    "undefined": ("<mj-text>a</mj-text>\n<mj-text>{{ nothing }}</mj-text>", 3, "'nothing'"),
    "undefined attribute": ("\n<mj-text>{{ edition.nothing }}</mj-text>", 3, "'nothing'"),
    "missing partial": ("{% include 'partials/none.mjml.j2' %}", 2, "no template partials/none"),
    "outside of the folder": ("{% include '../secret' %}", 2, "no template ../secret"),
    "unknown slot": ('\n<mj-text>{{ slot("nmae") }}</mj-text>', 3, "no slot 'nmae'"),
    "arithmetic": ("\n\n<mj-text>{{ 1 / 0 }}</mj-text>", 4, "division by zero"),
    "type": ("\n<mj-text>{{ 1 + 'a' }}</mj-text>", 3, "unsupported operand"),
    "sandbox": ("<mj-text>{{ ''.__class__.__mro__ }}</mj-text>", 2, "unsafe"),
    "no bomb": ("<mj-text>{{ range(9) }}</mj-text>", 2, "'range' is undefined"),
    "unknown tag": ("<mj-text>a</mj-text>\n\n<mj-txet>a</mj-txet>", 4, "<mj-txet> is no MJML tag"),
    "refused tag": ('\n<mj-include path="x" />', 3, "use {% include"),
    "misplaced tag": ("\n<mj-section></mj-section>", 3, "<mj-section> stands in <mj-column>"),
    "html outside of text": ("\n<p>a</p>", 3, "<p> stands in <mj-column>"),
    "never closed": (
        "<mj-text>a\n<b>c</mj-text>",
        3,
        "</mj-text> closes nothing, but <b> of line 3",
    ),
    "stray end": ("</mj-column></mj-section></mj-body></mjml>\n</b>", 3, "</b> closes nothing"),
    "crossed": ("<mj-text><b><i>a</b></i></mj-text>", 2, "but <i> of line 2 is open"),
    "from a partial": ("{% for b in edition.briefs %}\n{{ b.tilte }}{% endfor %}", 3, "'tilte'"),
    "a bare <": ("<mj-text>a</mj-text>\n<mj-text>1 < 2</mj-text>", 3, "a bare < follows"),
}


@pytest.mark.parametrize(("rows", "line", "problem"), FAULTS.values(), ids=FAULTS)
def test_a_fault_names_file_and_line(
    run: Run, tmp_path: Path, rows: str, line: int | None, problem: str
) -> None:
    with pytest.raises(TemplateError) as caught:
        run("digest.mjml.j2", quiet(rows))
    assert caught.value.file is not None
    assert Path(caught.value.file) == tmp_path / "digest.mjml.j2"
    assert caught.value.line == line
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_fault_in_a_partial_names_the_partial(run: Run, tmp_path: Path) -> None:
    with pytest.raises(TemplateError) as caught:
        run("partials/footer.mjml.j2", "<mj-text>\n<em>\n</mj-text>\n")
    assert Path(str(caught.value.file)) == tmp_path / "partials/footer.mjml.j2"
    assert caught.value.line == 3


def test_a_fault_in_the_plain_text(run: Run, tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="nothing") as caught:
        run("digest.txt.j2", "one\n{{ nothing }}\n")
    assert (caught.value.file, caught.value.line) == (str(tmp_path / "digest.txt.j2"), 2)


@pytest.mark.parametrize(
    "css",
    [
        "@import 'https://a.example/x.css';",
        r"@\69mport url(//a.example/x.css);",
        r"@I\00006D p\ort '//a.example/x.css';",
    ],
)
def test_a_style_cannot_fetch_another(run: Run, css: str) -> None:
    head = f"<mjml><mj-head>\n<mj-style>{css}</mj-style></mj-head><mj-body></mj-body></mjml>"
    with pytest.raises(TemplateError, match="@import") as caught:
        run("digest.mjml.j2", head)
    assert caught.value.line == 2


def test_inlining_fetches_nothing_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/x.css"
        css = f'@import "{url}"; b {{ color: red }}'
        head = f'<link rel="stylesheet" href="{url}"><style>{css}</style>'
        html = f"<!doctype html><html><head>{head}</head><body><b>a</b></body></html>"
        assert '<b style="color:red">' in inline_styles(html)
        with pytest.raises(TimeoutError):
            server.accept()
    assert caplog.records == []


def test_a_selector_that_cannot_be_read(run: Run) -> None:
    head = (
        "<mjml><mj-head><mj-style>a[[b {color:red}</mj-style></mj-head><mj-body></mj-body></mjml>"
    )
    html = read(run("digest.mjml.j2", head), "html", {})
    assert "color:red" in html  # left where it was, as browsers do


def fault_of(run: Run, rows: str) -> TemplateError:
    with pytest.raises(TemplateError) as caught:
        run("digest.mjml.j2", quiet(rows))
    assert "\n" not in str(caught.value)
    return caught.value


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / "partials" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_fault_in_an_imported_macro_names_the_macros_file(run: Run, tmp_path: Path) -> None:
    text = "{% macro show(brief) %}\n<b>{{ brief.titel }}</b>\n{% endmacro %}"
    path = write(tmp_path, "macros.mjml.j2", text)
    rows = (
        "{% from 'partials/macros.mjml.j2' import show %}\n"
        "<mj-text>{{ show(edition.briefs[0]) }}</mj-text>"
    )
    error = fault_of(run, rows)
    assert str(error) == f"{path}, line 2: brief has no 'titel' (did you mean 'title'?)."


def test_a_fault_of_markup_in_an_imported_macro(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path, "macros.mjml.j2", "{% macro show() %}\n\n<b>a</i>{% endmacro %}")
    rows = "{% import 'partials/macros.mjml.j2' as m %}<mj-text>{{ m.show() }}</mj-text>"
    error = fault_of(run, rows)
    assert (Path(str(error.file)), error.line) == (path, 3)


def test_a_fault_in_a_partial_of_a_partial(run: Run, tmp_path: Path) -> None:
    write(tmp_path, "outer.mjml.j2", "a\n{% include 'partials/inner.mjml.j2' %}")
    path = write(tmp_path, "inner.mjml.j2", "\n\n{{ edition.date.year }}")
    error = fault_of(run, "{% include 'partials/outer.mjml.j2' %}")
    assert (Path(str(error.file)), error.line) == (path, 3)
    path.write_text("\n{% for x %}")
    error = fault_of(run, "{% include 'partials/outer.mjml.j2' %}")
    assert (Path(str(error.file)), error.line) == (path, 2)


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("edition|wrap", "EditionView"),
        ("'a'|wrap(width=3)", "line 2: wrap() got an unexpected keyword argument 'width'"),
        ("'a'|wrap(edition)", "not iterable"),
        ("'a'|wrapp", "No filter named 'wrapp'"),
        ("'a'|wrap('b', 'c', 'd', 'e')", "positional argument"),
        ("edition.briefs|sum", "unsupported operand"),
        ("edition.briefs[7].title", "element 7"),
        ("edition.nothing", "edition has no 'nothing'"),
        ("edition['brief']", "edition has no 'brief' (did you mean 'briefs'?)"),
        ("publication.names", "publication has no 'names' (did you mean 'name'?)"),
        ("edition()", "not callable"),
        ("edition.briefs.append(1)", "no attribute 'append'"),
        ("2 ** 5000", "this power (**) is too large"),
        ("(2 ** 450) * (2 ** 450) * (2 ** 450)", "this product (*) is too large"),
        ("[1] * 200000", "this product (*) is too large"),
    ],
)
def test_a_fault_in_an_expression(run: Run, tmp_path: Path, expression: str, problem: str) -> None:
    with pytest.raises(TemplateError) as caught:
        run("digest.txt.j2", "one\n{{ " + expression + " }}\n")
    assert problem in str(caught.value)
    assert (caught.value.file, caught.value.line) == (str(tmp_path / "digest.txt.j2"), 2)
    assert "newsletter." not in caught.value.problem
    assert "\n" not in str(caught.value)


def test_small_products_are_fine(run: Run) -> None:
    rows = "<mj-text>{{ 6 * 7 }} {{ 2 ** 10 }} {{ '-' * 3 }} {{ 1.5 * 2 }} {{ 2 ** -1 }}</mj-text>"
    html = read(run("digest.mjml.j2", quiet(rows)), "html", {})
    assert ">42 1024 --- 3.0 0.5</div>" in html


def test_a_template_that_includes_itself(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path, "round.mjml.j2", "\n{% include 'partials/round.mjml.j2' %}")
    error = fault_of(run, "{% include 'partials/round.mjml.j2' %}")
    assert str(error) == (
        f"{path}, line 2: goes on into itself without end; take out what includes or calls itself."
    )


def test_a_template_that_is_not_utf8(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path, "note.mjml.j2", "")
    path.write_bytes(b"one\r\ntwo \xe9\n")
    error = fault_of(run, "{% include 'partials/note.mjml.j2' %}")
    assert str(error).startswith(f"{path}, line 2: is not UTF-8")
    path.write_bytes("<mj-text>one</mj-text>".encode("utf-8-sig"))  # as Windows editors do
    compiled = run("digest.mjml.j2", quiet("{% include 'partials/note.mjml.j2' %}"))
    assert "\ufeff" not in read(compiled, "html", {})


def test_a_folder_where_a_template_should_be(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "partials/footer.mjml.j2"
    path.mkdir(parents=True)
    with pytest.raises(TemplateError) as caught:
        run("partials/head.mjml.j2", "<mj-title>a</mj-title>")
    assert str(caught.value) == f"{path}: is a folder and should be a file; move it or rename it."
    assert fault_of(run, "{% include 'partials' %}").problem == "is a folder and should be a file"


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no file that refuses even root")
def test_a_template_that_cannot_be_read(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path, "memory.mjml.j2", "")
    path.unlink()
    path.symlink_to("/proc/self/mem")
    error = fault_of(run, "{% include 'partials/memory.mjml.j2' %}")
    assert str(error).startswith(f"{path}: cannot be read (Input/output error); make it readable")


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "a/../b", "", "a//b", "\x00", "x" * 300]
)
def test_only_files_of_the_templates_folders_are_templates(run: Run, name: str) -> None:
    error = fault_of(run, "\n{% include name %}".replace("name", repr(name)))
    assert error.problem.startswith(("there is no template", "cannot be read"))


def test_a_block_that_is_lost_on_the_way(run: Run) -> None:
    rows = "{% set unused %}{% call block('brief:0') %}a{% endcall %}{% endset %}"
    with pytest.raises(TemplateError, match="block brief:0 was lost"):
        run("digest.mjml.j2", quiet(rows))


def test_a_block_that_is_shown_twice(run: Run) -> None:
    rows = "{% set b %}{% call block('x') %}a{% endcall %}{% endset %}"
    rows += "<mj-text>{{ b }}{{ b }}</mj-text>"
    with pytest.raises(TemplateError, match="block x stands there twice"):
        run("digest.mjml.j2", quiet(rows))


def test_a_text_that_ends_in_a_slot_still_ends_its_line(run: Run) -> None:
    compiled = run("digest.txt.j2", "Dear {{ slot('name', default='reader') }}")
    assert compiled.plain.pieces[-1] == b"\r\n"
    assert read(compiled, "plain", {"name": "Ada <3"}) == "Dear Ada <3\n"
    assert read(compiled, "plain", {}) == "Dear reader\n"


def test_an_operators_own_column_is_a_slot(run: Run) -> None:
    rows = "<mj-text>{{ slot('fields.city', default='your <town>') }}</mj-text>"
    compiled = run("digest.mjml.j2", quiet(rows))
    assert ">your &lt;town&gt;</div>" in read(compiled, "html", {})
    assert ">A &amp; B</div>" in read(compiled, "html", {"fields.city": "A & B"})


def test_blanks_between_tags_do_not_matter(run: Run) -> None:
    spaced = "<mjml> <mj-head>  <mj-title>a</mj-title> \n </mj-head> <mj-body> </mj-body> </mjml> "
    assert "<title>a</title>" in read(run("digest.mjml.j2", spaced), "html", {})
