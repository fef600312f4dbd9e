from __future__ import annotations

import io
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.audience.records import RECORD_CHARACTERS, RECORD_LINES, read_records
from newsletter.errors import AudienceError


def read(data: bytes) -> list[tuple[int, list[str]]]:
    return [(r.line, r.cells) for r in read_records(io.BytesIO(data)) if not r.problem]


def problems(data: bytes) -> list[tuple[int, str]]:
    return [(r.line, r.problem) for r in read_records(io.BytesIO(data)) if r.problem]


TABLE = "email;name\na@reader.example;Jörg €\n"
READ = [(1, ["email", "name"]), (2, ["a@reader.example", "Jörg €"])]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", [";", ",", "\t"])
def test_reads_what_spreadsheets_write(encoding: str, newline: str, separator: str) -> None:
    text = TABLE.replace(";", separator).replace("\n", newline)
    assert read(text.encode(encoding)) == READ


def test_reads_big_endian_utf_16() -> None:
    assert read(b"\xfe\xff" + TABLE.encode("utf-16-be")) == READ


def test_one_stray_byte_does_not_spoil_the_other_lines() -> None:
    data = "email\nJörg\n".encode() + "Zoë\n".encode("cp1252") + "José\n".encode()
    assert [cells for _, cells in read(data)] == [["email"], ["Jörg"], ["Zoë"], ["José"]]


def test_a_byte_of_no_encoding_stays_recognisable() -> None:
    assert read(b"email\na\x81b\n")[1][1] == ["a\udc81b"]


@pytest.mark.parametrize("first", ["sep=;", "SEP=;", '"sep=;"'])
def test_obeys_the_separator_line_of_excel(first: str) -> None:
    assert read(f"{first}\r\n\r\nemail;a,b,c\r\nx;y\r\n".encode()) == [
        (3, ["email", "a,b,c"]),
        (4, ["x", "y"]),
    ]


def test_separator_line_may_name_a_bar() -> None:
    assert read(b"sep=|\nemail|name\n") == [(2, ["email", "name"])]


def test_separators_inside_quotation_marks_do_not_count() -> None:
    assert read(b'"a;b;c;d",email\n') == [(1, ["a;b;c;d", "email"])]


def test_blank_records_are_left_out_but_counted() -> None:
    assert read(b"\n\nemail,name\n\n,,\n  , \na,b\n") == [(3, ["email", "name"]), (7, ["a", "b"])]


def test_lines_are_physical_ones() -> None:
    data = b'email,note\na,"one\ntwo\r\nthree\rfour"\nb,plain\n'
    assert read(data)[1:] == [(2, ["a", "one\ntwo\r\nthree\rfour"]), (6, ["b", "plain"])]


def test_doubled_quotation_marks_and_blanks_before_them() -> None:
    assert read(b'email,  "say ""hi"", x"\n') == [(1, ["email", 'say "hi", x'])]


@pytest.mark.parametrize(
    "broken",
    [
        b'x,"left open\n',
        b'x,"inside" quotes\n',
        b'x,"a"b"\n',
    ],
)
def test_a_broken_quotation_costs_one_row(broken: bytes) -> None:
    data = b"email,name\na,1\n" + broken + b'b,"2"\nc,3\n'
    assert [cells for _, cells in read(data)][1:] == [["a", "1"], ["b", "2"], ["c", "3"]]
    assert [line for line, _ in problems(data)] == [3]
    assert "quotation mark" in problems(data)[0][1]


def test_a_quotation_left_open_before_a_long_rest_costs_one_row() -> None:
    data = b'email\n"open\n' + b"row\n" * (3 * RECORD_LINES)
    assert len(read(data)) == 1 + 3 * RECORD_LINES
    assert [line for line, _ in problems(data)] == [2]


def test_a_quotation_left_open_at_the_end_costs_one_row() -> None:
    data = b'email\na\n"open\nb\nc'
    assert [line for line, _ in read(data)] == [1, 2, 4, 5]


def test_over_long_lines_and_cells_cost_one_row() -> None:
    line = b"x" * (2 * RECORD_CHARACTERS) + b"\n"
    cell = b"y" * 140_000 + b"\n"
    data = b"email\na\n" + line + b"b\n" + cell + b"c\n"
    assert [cells for _, cells in read(data)] == [["email"], ["a"], ["b"], ["c"]]
    assert [line for line, _ in problems(data)] == [3, 5]
    assert "line is longer" in problems(data)[0][1]
    assert "cell is longer" in problems(data)[1][1]


def test_an_over_long_line_within_an_open_quotation_is_found_again() -> None:
    data = b'email\n"open\n' + b"x" * (2 * RECORD_CHARACTERS) + b"\nb\n"
    assert [line for line, _ in problems(data)] == [2, 3]
    assert read(data)[-1] == (4, ["b"])


def test_memory_does_not_grow_with_a_line() -> None:
    data = b'email\n"' + b"x" * 8_000_000
    tracemalloc.start()
    list(read_records(io.BytesIO(data)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000_000


def test_progress_counts_every_byte() -> None:
    seen: list[int] = []
    data = b"\xef\xbb\xbfemail\n" + b"a\n" * 100_000
    list(read_records(io.BytesIO(data), on_progress=seen.append))
    assert seen == sorted(seen)
    assert seen[-1] == len(data)


def test_the_stream_stays_open() -> None:
    stream = io.BytesIO(b"email\na\n")
    list(read_records(stream))
    assert not stream.closed


def test_refuses_a_spreadsheet_and_says_what_to_do() -> None:
    with pytest.raises(AudienceError, match="save it as"):
        list(read_records(io.BytesIO(b"PK\x03\x04rest")))


def test_a_device_that_fails_is_a_named_error() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(AudienceError, match="Input/output error"):
        list(read_records(Failing()))


@given(st.binary(max_size=400))
def test_any_bytes_are_records_in_the_order_of_their_lines(data: bytes) -> None:
    try:
        lines = [record.line for record in read_records(io.BytesIO(data))]
    except AudienceError:
        return
    assert lines == sorted(set(lines))
    assert all(1 <= line <= data.count(b"\n") + data.count(b"\r") + 1 for line in lines)


@given(
    st.lists(
        st.lists(st.text(st.sampled_from('ab",;\t\n\r\x00é '), max_size=6), min_size=2, max_size=2),
        max_size=6,
    ),
    st.sampled_from([",", ";", "\t"]),
)
def test_any_quoted_table_comes_back(rows: list[list[str]], separator: str) -> None:
    def quote(row: list[str]) -> str:
        return separator.join('"' + cell.replace('"', '""') + '"' for cell in row)

    table = ["email" + separator + "note", *map(quote, rows)]
    found = [cells for _, cells in read("\r\n".join(table).encode())]
    assert found[1:] == [row for row in rows if any(cell.strip() for cell in row)]
