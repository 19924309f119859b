"""Records from files: lines of JSON and framed protobuf, plain and gzip, whole and cut off."""

import gzip
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.spans.files import InputFileError, read_records
from streamsampler.spans.formats import FORMATS
from tests.real_records import TRACES, real_records

LINES = b'{"a": 1}\n\n{"b": 2}\r\n  {"c": 3}'
VALUES = [b'{"a": 1}', b'{"b": 2}', b'{"c": 3}']


def framed(values: list[bytes]) -> bytes:
    return b"".join(len(value).to_bytes(4, "big") + value for value in values)


def written(folder: Path, content: bytes, name: str = "traces") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def values_of(content: bytes, format: str) -> list[bytes]:  # noqa: A002 - as in read_records
    return [value for value, _ in read_records("-", format, io.BytesIO(content))]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_each_line_is_a_record_with_its_place(tmp_path: Path, pack: type[bytes]) -> None:
    path = written(tmp_path, pack(LINES))

    assert list(read_records(path, "otlp_json")) == [
        (VALUES[0], f"{path}:1"),
        (VALUES[1], f"{path}:3"),
        (VALUES[2], f"{path}:4"),
    ]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_each_framed_message_is_a_record_with_its_place(
    tmp_path: Path,
    pack: type[bytes],
) -> None:
    path = written(tmp_path, pack(framed([b"one", b"", b"three"])))

    assert list(read_records(str(path), "otlp_proto")) == [
        (b"one", f"{path}:message 1"),
        (b"", f"{path}:message 2"),
        (b"three", f"{path}:message 3"),
    ]


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"{}\n")))

    assert list(read_records("-", "otlp_json")) == [(b"{}", "standard input:1")]


@pytest.mark.parametrize("start", [b"", b"\n", b"\xef\xbb\xbf"], ids=["at once", "later", "BOM"])
def test_a_request_over_many_lines_is_one_record(start: bytes) -> None:
    pretty = b'{\n  "resourceSpans": [\n  ]\n}\n'

    assert values_of(start + pretty, "otlp_json") == [start.strip() + pretty]


def test_a_bad_first_line_does_not_take_the_others_with_it() -> None:
    assert values_of(b'{"resou\n{"a": 1}\n', "otlp_json") == [b'{"resou', b'{"a": 1}']


@pytest.mark.parametrize("format_name", FORMATS)
def test_an_empty_file_holds_no_records(format_name: str) -> None:
    assert values_of(b"", format_name) == []
    assert values_of(gzip.compress(b""), format_name) == []


@given(st.lists(st.binary(max_size=30), max_size=5))
def test_framed_messages_come_out_as_they_went_in(values: list[bytes]) -> None:
    content = framed(values)

    assert values_of(content, "otlp_proto") == values
    assert values_of(gzip.compress(content), "otlp_proto") == values


def test_several_gzip_files_joined_are_read_as_one() -> None:
    content = gzip.compress(b"{}\n") + gzip.compress(b"{}\n")

    assert values_of(content, "otlp_json") == [b"{}", b"{}"]


def test_the_file_of_the_collector_is_read() -> None:
    assert len(list(read_records(TRACES, "otlp_json"))) == 28


def test_what_came_before_a_cut_has_been_read() -> None:
    values = [record.value for record in real_records()[:50]]
    records = read_records("-", "otlp_proto", io.BytesIO(framed(values)[:-1]))

    assert [next(records)[0] for _ in range(49)] == values[:49]
    with pytest.raises(InputFileError, match="message 50: the file ends after"):
        next(records)


@pytest.mark.parametrize(
    ("format_name", "content", "sentence"),
    [
        (
            "otlp_proto",
            framed([b"one", b"two"])[:-1],
            "standard input:message 2: the file ends after 2 of the message's 3 bytes.",
        ),
        (
            "otlp_proto",
            framed([b"one"]) + b"\0\0",
            "standard input:message 2: the file ends within the message's length.",
        ),
        (
            "otlp_proto",
            b"\xff\xff\xff\xff rest",
            "standard input:message 1: 4294967295 bytes are more than any message has.",
        ),
        (
            "otlp_proto",
            LINES,
            (
                "standard input:message 1: the file ends after 26 of the message's "
                "2065850658 bytes; it looks like JSON."
            ),
        ),
        (
            "otlp_json",
            gzip.compress(LINES)[:-9],
            "standard input: the gzip data is cut off; copy it again.",
        ),
        (
            "otlp_json",
            gzip.compress(LINES)[:4],
            "standard input: the gzip data is cut off; copy it again.",
        ),
        (
            "otlp_json",
            b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + b"\xff" * 20,
            (
                "standard input: the gzip data is broken "
                "(Error -3 while decompressing data: invalid block type)."
            ),
        ),
        (
            "otlp_json",
            gzip.compress(LINES)[:-8] + b"\0" * 8,
            "standard input: the gzip data is broken (CRC check failed",
        ),
        ("zipkin", b"", "No file can be read as 'zipkin'; the formats are otlp_json, otlp_proto."),
    ],
)
def test_what_is_wrong_is_said(format_name: str, content: bytes, sentence: str) -> None:
    with pytest.raises(InputFileError) as raised:
        values_of(content, format_name)

    assert str(raised.value).startswith(sentence)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="none: No such file or directory"):
        list(read_records(tmp_path / "none", "otlp_json"))
    with pytest.raises(InputFileError, match="Is a directory"):
        list(read_records(tmp_path, "otlp_json"))
