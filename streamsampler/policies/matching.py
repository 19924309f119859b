"""Stage 3, predicates: which predicates each span of a batch matches, and whose tenant it is.

Hot: the answers to all string tests of an attribute are one look-up of the value's number, those
to all tests of the status another; what else is asked takes a few passes over the spans.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from streamsampler.policies.asking import STATUS_CODES, Questions, Spans, status_numbers
from streamsampler.policies.distinct import DistinctValues
from streamsampler.policies.predicates import SpanPredicate, StateTest, StatusIn, StringTest
from streamsampler.policies.questions import conditions, leaves, wanted_keys
from streamsampler.policies.roots import SERVICE_KEY, RootNumbers, RootReader
from streamsampler.policies.schema import TenantSource
from streamsampler.policies.tenants import NO_TENANT, TenantNumbers
from streamsampler.spans.columns import ATTRIBUTE, STRING, Bytes, Int32s, Rows, UInt64s
from streamsampler.spans.records import Headers
from streamsampler.spans.scan import Scan

Strings = dict[bytes | None, DistinctValues]
"""The distinct values of string columns, by key; the tracestate's under None."""


@dataclass(frozen=True, slots=True)
class Matches:
    """What the predicates say of n spans.

    Attributes:
        matched: uint64[n]; bit k: predicate k is true of the span.
        tenants: int32[n], tenant numbers, `NO_TENANT` for none.
        roots: int32[n], numbers of root operations, `NO_ROOT` for a span that is no root.
    """

    matched: UInt64s
    tenants: Int32s
    roots: Int32s


class Matcher:
    """Asks predicates, and remembers the answers to distinct values.

    Attributes:
        wanted: Keys of the attributes that the scans to come must locate, in this order.
        reads_events: Whether they must tell of the spans' events.
        reads_scopes: Whether they must tell of the spans' instrumentation scopes.
    """

    def __init__(
        self, predicates: Mapping[int, SpanPredicate], source: TenantSource,
        tenants: TenantNumbers, roots: RootNumbers,
    ) -> None:  # fmt: skip
        """Prepare the questions.

        Args:
            predicates: By bit.
            source: Where the tenant is read from.
            tenants: Numbers the tenants.
            roots: Numbers the root operations.
        """
        asked_for = wanted_keys(predicates.values(), source)
        # A trace's group is named by its root's service, whoever asks.
        self.wanted = tuple(dict.fromkeys((*asked_for, SERVICE_KEY)))
        asked = list(conditions(predicates.values()))
        self.reads_events = any(condition.reads_events for condition in asked)
        self.reads_scopes = any(condition.reads_scopes for condition in asked)
        self._source = source
        self._tenants = tenants
        self._tenant_key = None if source.source == "header" else source.key.encode()
        self._keys = {key: place for place, key in enumerate(self.wanted)}
        self._strings = _string_columns(predicates, self._tenant_key, tenants)
        self._by_status: UInt64s = np.zeros(STATUS_CODES + 1, np.uint64)
        self._root_numbers = roots
        self._roots = RootReader(roots, self._keys[SERVICE_KEY])
        self._questions = Questions(self._keys, self._strings)
        self._placed: list[tuple[np.uint64, int]] = []
        for bit, predicate in predicates.items():
            if isinstance(predicate, StatusIn):
                self._by_status[list(predicate.codes)] |= np.uint64(1 << bit)
            elif not isinstance(predicate, StringTest | StateTest):
                self._placed.append((np.uint64(1 << bit), self._questions.place(predicate)))
        self._ranks: Int32s = np.zeros(0, np.int32)

    @property
    def root_order(self) -> UInt64s:
        """uint64[root numbers and more]: of several roots in a trace the smallest counts."""
        return self._root_numbers.order

    def ranks(self) -> Int32s:
        """Order the tenants by name.

        Returns:
            int32[tenant numbers]: a smaller rank is a bytewise smaller name.
        """
        count = self._tenants.count
        if len(self._ranks) != count:
            names = [self._tenants.name(number) for number in range(count)]
            self._ranks = np.empty(count, np.int32)
            self._ranks[sorted(range(count), key=names.__getitem__)] = np.arange(count)
        return self._ranks

    def match(self, buffer: Bytes, scan: Scan, headers: Sequence[Headers | None]) -> Matches:
        """Ask all predicates of the spans of a batch.

        Args:
            buffer: uint8, which the scan's positions speak of.
            scan: The batch's columns.
            headers: The records' headers.

        Returns:
            What the predicates say of each span. A resource's attribute counts for each of its
            spans; of two tenants, the span's and its resource's, the first by name counts.
        """
        spans = Spans.of(buffer, scan, self.wanted)
        matched = self._by_status[status_numbers(scan.spans)]
        resource = scan.spans["resource"]
        for key, values in self._strings.items():
            if key is None:
                numbered = values.number(buffer, _states(scan.spans), None, 0, resource)
            else:
                numbered = values.number(
                    buffer, scan.attributes, scan.resources, self._keys[key], resource
                )
            values.add_matched(numbered, matched)
            spans.numbered[key] = numbered
        answers = self._questions.ask(spans)
        for bit, place in self._placed:
            np.bitwise_or(matched, bit, out=matched, where=answers[place])
        roots = self._roots.read(buffer, scan)
        return Matches(matched, self._tenants_of(spans, headers), roots)

    def _tenants_of(self, spans: Spans, headers: Sequence[Headers | None]) -> Int32s:
        key = self._tenant_key
        if key is None:
            of_record: Int32s = self._tenants_of_headers(headers)[spans.scan.spans["record"]]
            return of_record
        of_span, of_resource = self._strings[key].tenants(spans.numbered[key])
        if self._source.source == "span":
            return of_span
        if self._source.source == "resource":
            return of_resource
        ranks = self.ranks()
        resource_counts = (of_resource != NO_TENANT) & (
            (of_span == NO_TENANT) | (ranks[of_resource] < ranks[of_span])
        )
        tenants: Int32s = np.where(resource_counts, of_resource, of_span)
        return tenants

    def _tenants_of_headers(self, headers: Sequence[Headers | None]) -> Int32s:
        tenants = np.zeros(len(headers), np.int32)
        for record, pairs in enumerate(headers):
            for name, value in pairs or ():
                if name == self._source.key:
                    tenants[record] = self._tenants.number(value)
                    break
        return tenants


def _string_columns(
    predicates: Mapping[int, SpanPredicate], tenant_key: bytes | None, tenants: TenantNumbers
) -> Strings:
    """The string columns that are asked about, with what is asked."""
    bits: dict[bytes | None, list[tuple[int, StringTest | StateTest]]] = {}
    apart: dict[bytes | None, dict[StringTest | StateTest, None]] = {}
    for bit, predicate in predicates.items():
        if isinstance(predicate, StringTest | StateTest):
            bits.setdefault(_column(predicate), []).append((bit, predicate))
            continue
        for leaf in leaves(predicate):
            if isinstance(leaf, StringTest | StateTest):
                apart.setdefault(_column(leaf), {})[leaf] = None
    named: Iterable[bytes | None] = () if tenant_key is None else (tenant_key,)
    return {
        column: DistinctValues(
            bits.get(column, ()),
            list(apart.get(column, ())),
            tenants if column is not None and column == tenant_key else None,
        )
        for column in dict.fromkeys((*bits, *apart, *named))
    }


def _column(test: StringTest | StateTest) -> bytes | None:
    return test.key if isinstance(test, StringTest) else None


def _states(spans: Rows) -> Rows:
    """The tracestates of spans as if they were attributes."""
    states = np.zeros((len(spans), 1), ATTRIBUTE)
    states["kind"][:, 0] = np.where(spans["state_size"] > 0, STRING, 0)
    states["word"][:, 0] = spans["state_at"]
    states["size"][:, 0] = spans["state_size"]
    return states
