"""W3C trace context: traceparent, tracestate, and the ot member in it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.spans.columns import SPAN
from streamsampler.spans.randomness import NO_RANDOMNESS, read_randomness
from streamsampler.spans.trace_context import (
    OtMember,
    TraceContextError,
    TraceParent,
    parse_traceparent,
    parse_tracestate,
    read_ot,
    with_threshold,
)

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
RV = "8201e273ab4876"

flags = st.integers(0, 3)
trace_ids = st.binary(min_size=16, max_size=16).filter(any)
span_ids = st.binary(min_size=8, max_size=8).filter(any)
thresholds = st.text("0123456789abcdef", min_size=1, max_size=14)
# What any caller may send, and what one that keeps to the rules does.
anything = st.one_of(
    st.binary(max_size=60),
    st.lists(
        st.sampled_from([b"ot=th:8", b"ot=rv:" + RV.encode(), b"ot=x:1;th:c", b"a=1", b"b", b" "]),
        max_size=5,
    ).map(b",".join),
)
ot_keys = st.from_regex(r"[a-z][a-z0-9]{0,4}", fullmatch=True).filter(
    lambda key: key not in {"th", "rv"},
)
ot_values = st.from_regex(r"[A-Za-z0-9._\-]{0,6}", fullmatch=True)


pieces = st.sampled_from(
    [
        "ot=",
        "ot",
        "a=1",
        ",",
        ";",
        ":",
        " ",
        "\t",
        "rv:",
        "th:8",
        f"rv:{RV}",
        RV,
        RV.upper(),
        "rv",
        "=",
    ],
)


class TestTraceparent:
    def test_the_parts_are_read(self) -> None:
        parent = parse_traceparent(f"00-{TRACE}-{PARENT}-01".encode())

        assert parent == TraceParent(bytes.fromhex(TRACE), bytes.fromhex(PARENT), flags=1)
        assert (parent.sampled, parent.random_trace_id) == (True, False)

    @given(trace_ids, span_ids, flags)
    def test_what_is_written_reads_the_same(self, trace: bytes, parent: bytes, bits: int) -> None:
        context = TraceParent(trace, parent, bits)

        assert parse_traceparent(context.header()) == context

    def test_flags_beyond_the_known_ones_are_read_but_not_handed_on(self) -> None:
        parent = parse_traceparent(f"00-{TRACE}-{PARENT}-fe".encode())

        assert parent.flags == 0xFE
        assert (parent.sampled, parent.random_trace_id) == (False, True)
        assert parent.header().endswith(b"-02")

    @pytest.mark.parametrize("more", ["", "-", "-what-the-future-brings"])
    def test_a_later_version_is_read_as_far_as_it_is_known(self, more: str) -> None:
        parent = parse_traceparent(f"cc-{TRACE}-{PARENT}-01{more}".encode())

        assert (parent.version, parent.trace_id.hex()) == (0xCC, TRACE)
        assert parent.header().startswith(b"00-")

    @pytest.mark.parametrize(
        ("header", "sentence"),
        [
            ("", "is not made of"),
            (f"00-{TRACE}-{PARENT}", "is not made of"),
            (f"00-{TRACE.upper()}-{PARENT}-01", "is not made of"),
            (f"00-{TRACE[1:]}-{PARENT}-01", "is not made of"),
            (f"0-{TRACE}-{PARENT}-01", "is not made of"),
            (f" 00-{TRACE}-{PARENT}-01", "is not made of"),
            (f"00-{TRACE}-{PARENT}-0x", "is not made of"),
            (f"00-{TRACE}-{PARENT}-01\n", "is not made of"),
            (f"cc-{TRACE}-{PARENT}-01.more", "is not made of"),
            (f"ff-{TRACE}-{PARENT}-01", "the invalid version ff"),
            (f"00-{TRACE}-{PARENT}-01-more", "goes on after the flags"),
            (f"00-{'0' * 32}-{PARENT}-01", "a trace id of zeros"),
            (f"00-{TRACE}-{'0' * 16}-01", "a parent id of zeros"),
        ],
    )
    def test_what_is_wrong_is_said(self, header: str, sentence: str) -> None:
        with pytest.raises(TraceContextError, match=sentence):
            parse_traceparent(header.encode())

    @given(st.binary(max_size=70))
    def test_any_bytes_are_read_or_refused(self, header: bytes) -> None:
        try:
            parent = parse_traceparent(header)
        except TraceContextError:
            return
        assert header[3:35].decode() == parent.trace_id.hex()


class TestTracestate:
    @pytest.mark.parametrize(
        ("header", "members"),
        [
            (b"", ()),
            (b"a=1", (("a", "1"),)),
            (b"ot=th:c;rv:8201e273ab4876,vendor=x", (("ot", f"th:c;rv:{RV}"), ("vendor", "x"))),
            (b" a=1 ,\tb=2\t", (("a", "1"), ("b", "2"))),
            (b"a=1,,b=2,", (("a", "1"), ("b", "2"))),
            (b"fw529a3039@dt=FfAB,0x=y z", (("fw529a3039@dt", "FfAB"), ("0x", "y z"))),
            (b"a_-*/9=!~", (("a_-*/9", "!~"),)),
            (b"k" * 256 + b"=" + b"v" * 256, (("k" * 256, "v" * 256),)),
            (b",".join(b"k%d=v" % n for n in range(32)), tuple((f"k{n}", "v") for n in range(32))),
        ],
    )
    def test_members_are_read_in_order(
        self,
        header: bytes,
        members: tuple[tuple[str, str], ...],
    ) -> None:
        assert parse_tracestate(header) == members

    @pytest.mark.parametrize(
        ("header", "sentence"),
        [
            (b"a", "is no key=value"),
            (b"=1", "is no key=value"),
            (b"a=", "is no key=value"),
            (b"A=1", "is no key=value"),
            (b"a =1", "is no key=value"),
            (b"-a=1", "is no key=value"),
            (b"a=1=2", "is no key=value"),
            (b"a=\xc3\xa9", "is no key=value"),
            (b"a=1\x7f", "is no key=value"),
            (b"k" * 257 + b"=1", "is no key=value"),
            (b"k=" + b"v" * 257, "is no key=value"),
            (b"a=1,b=2,a=1", "the key 'a' twice"),
            (b",".join(b"k%d=v" % n for n in range(33)), "has 33 members; 32 are the most"),
        ],
    )
    def test_one_bad_member_is_worth_a_sentence(self, header: bytes, sentence: str) -> None:
        with pytest.raises(TraceContextError, match=sentence):
            parse_tracestate(header)


class TestOtMember:
    @pytest.mark.parametrize(
        ("tracestate", "member"),
        [
            ("", OtMember()),
            ("vendor=x", OtMember()),
            ("ot=th:0", OtMember("0")),
            ("ot=th:08", OtMember("08")),
            ("ot=th:fd70a3d70a3d71", OtMember("fd70a3d70a3d71")),
            (f"vendor=x, ot=rv:{RV};th:c ,z=1", OtMember("c", RV)),
            (
                "ot=a:1;th:8;b:;c:x.Y_z-",
                OtMember("8", None, (("a", "1"), ("b", ""), ("c", "x.Y_z-"))),
            ),
            ("ot=th:8;th:c", OtMember("8")),
            ("ot=th:8,ot=th:c", OtMember("8")),
            # th: 1 to 14 lower-case digits; rv: exactly 14.
            ("ot=th:", OtMember()),
            ("ot=th:C", OtMember()),
            ("ot=th:g", OtMember()),
            ("ot=th:123456789abcdef", OtMember()),
            (f"ot=th:8;rv:{RV[1:]}", OtMember("8")),
            (f"ot=th:8;rv:{RV}0", OtMember("8")),
            (f"ot=th:8;rv:{RV.upper()}", OtMember("8")),
            # The first of a key counts, also when it is no good; what is no pair says nothing.
            (f"ot=rv:1;rv:{RV};th:!;th:8", OtMember()),
            ("ot=", OtMember()),
            ("ot=th:8;;rubbish;K:v;k:v w;a:b:c;x:y", OtMember("8", None, (("x", "y"),))),
            ("ot=th=8", OtMember()),
            (f"ot= th:8;rv;rv:{RV}", OtMember(None, RV)),
            ("ot=th:8;a:" + "x" * 300, OtMember("8", None, (("a", "x" * 300),))),
        ],
    )
    def test_it_is_read(self, tracestate: str, member: OtMember) -> None:
        assert read_ot(tracestate.encode()) == member

    @pytest.mark.parametrize(
        ("before", "threshold", "after"),
        [
            ("", "8", "ot=th:8"),
            ("", None, ""),
            ("vendor=x", "8", "ot=th:8,vendor=x"),
            ("a=1, ot=th:8 ,b=2", "c", "ot=th:c,a=1,b=2"),
            (f"a=1,ot=rv:{RV};th:8;k:v", "c", f"ot=th:c;rv:{RV};k:v,a=1"),
            (f"ot=th:8;rv:{RV},a=1", None, f"ot=rv:{RV},a=1"),
            ("a=1,ot=th:8", None, "a=1"),
            ("ot=th:8", None, ""),
            # Nothing changes: not a byte.
            ("a=1 ,, ot=k:v;th:8", "8", "a=1 ,, ot=k:v;th:8"),
            ("a=1 ,ot=k:v", None, "a=1 ,ot=k:v"),
            # What no reader could take goes, what others wrote stays.
            ("ot=rubbish,a=1", "8", "ot=th:8,a=1"),
            ("ot=th:XX;rv:12;k:v", "8", "ot=th:8;k:v"),
            ("ot=th:8,ot=th:c,A B=", "0", "ot=th:0,A B="),
            ("ot,ota=1", "0", "ot=th:0,ot,ota=1"),
        ],
    )
    def test_the_threshold_is_set_or_erased(
        self,
        before: str,
        threshold: str | None,
        after: str,
    ) -> None:
        assert with_threshold(before.encode(), threshold) == after.encode()

    def test_bytes_that_are_no_text_are_handed_on(self) -> None:
        assert with_threshold(b"v=\xff\xfe", "8") == b"ot=th:8,v=\xff\xfe"

    def test_the_longest_ot_member_loses_its_last_keys(self) -> None:
        rest = ";".join(f"k{n}:{'x' * 20}" for n in range(10))
        written = with_threshold(f"ot={rest}".encode(), "fd70a3d70a3d71")

        assert written == f"ot=th:fd70a3d70a3d71;{rest[: rest.index(';k9')]}".encode()
        assert len(written) - len("ot=") <= 256

    def test_the_longest_list_loses_its_last_member(self) -> None:
        full = [b"k%d=v" % number for number in range(32)]

        assert with_threshold(b",".join(full), "8") == b",".join([b"ot=th:8", *full[:31]])

    @pytest.mark.parametrize("threshold", ["", "8;x:1", "C", "123456789abcdef", "8\n"])
    def test_what_is_no_threshold_is_never_written(self, threshold: str) -> None:
        with pytest.raises(TraceContextError, match="1 to 14 lower-case"):
            with_threshold(b"", threshold)

    @given(anything, st.one_of(st.none(), thresholds))
    def test_what_was_written_is_read_back(self, before: bytes, threshold: str | None) -> None:
        after = with_threshold(before, threshold)

        assert read_ot(after).threshold == threshold
        assert read_ot(after).randomness == read_ot(before).randomness
        assert others_of(after) == others_of(before)
        assert with_threshold(after, threshold) == after

    @given(
        st.lists(pieces, max_size=8).map("".join).flatmap(lambda s: st.sampled_from([s, "ot=" + s]))
    )
    def test_the_scan_reads_the_same_randomness(self, tracestate: str) -> None:
        raw = tracestate.encode()
        spans = np.zeros(1, SPAN)
        spans["state_size"] = len(raw)
        found, incoming = np.zeros((2, 1), np.uint64)
        read_randomness(np.frombuffer(raw, np.uint8), spans, found, incoming)
        randomness = read_ot(raw).randomness

        assert found[0] == (NO_RANDOMNESS if randomness is None else int(randomness, 16))

    @given(st.lists(st.tuples(ot_keys, ot_values), max_size=5, unique_by=lambda pair: pair[0]))
    def test_other_keys_stay(self, others: list[tuple[str, str]]) -> None:
        before = ",".join(["a=1", "ot=" + ";".join(f"{key}:{value}" for key, value in others)])
        member = read_ot(with_threshold(before.encode(), "8"))

        assert member == OtMember("8", None, tuple(others))


def others_of(tracestate: bytes) -> list[bytes]:
    members = [member.strip(b" \t") for member in tracestate.split(b",")]
    return [member for member in members if member and not member.startswith(b"ot=")]
