"""Stage 3, predicates: which predicates each span of a batch matches, and whose tenant it is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamsampler.policies.compiled import CompiledSet
from streamsampler.policies.predicates import StatusIn, StringTest
from streamsampler.policies.tenants import NO_TENANT, TenantNumbers
from streamsampler.spans.columns import Bytes, Int32s, Rows, UInt64s
from streamsampler.spans.dictionary import Dictionary
from streamsampler.spans.records import Headers
from streamsampler.spans.scan import Scan

_STATUS_CODES = 3


@dataclass(frozen=True, slots=True)
class Matches:
    """What the predicates say of n spans.

    Attributes:
        matched: uint64[n]; bit k: predicate k is true of the span.
        tenants: int32[n], tenant numbers, `NO_TENANT` for none.
    """

    matched: UInt64s
    tenants: Int32s


class _Answers:
    """What is known of each distinct value of one wanted attribute."""

    def __init__(self, key: bytes, compiled: CompiledSet, tenants: TenantNumbers) -> None:
        self.dictionary = Dictionary()
        self._tests = [
            (np.uint64(1 << bit), predicate)
            for bit, predicate in enumerate(compiled.predicates)
            if isinstance(predicate, StringTest) and predicate.key == key
        ]
        source = compiled.policy_set.tenant
        self.names_tenant = source.source != "header" and source.key.encode() == key
        self._numbers = tenants
        self._forget()

    def _forget(self) -> None:
        self.matched: UInt64s = np.zeros(1, np.uint64)
        self.tenants: Int32s = np.zeros(1, np.int32)

    def prepare(self) -> None:
        """Forget what is known if the dictionary has grown too large."""
        if self.dictionary.emptied_if_full():
            self._forget()

    def learn(self) -> None:
        """Ask the costly questions of the values that are new to the dictionary."""
        known = len(self.matched)
        new = range(known, len(self.dictionary) + 1)
        if not new:
            return
        values = [self.dictionary.value(number) for number in new]
        matched = np.zeros(len(values), np.uint64)
        for bit, test in self._tests:
            matched[[test.matches(value) for value in values]] |= bit
        self.matched = np.append(self.matched, matched)
        if self.names_tenant:
            numbers = [self._numbers.number(value) for value in values]
            self.tenants = np.append(self.tenants, np.array(numbers, np.int32))


class Matcher:
    """Asks the predicates of a compiled set, and remembers the answers."""

    def __init__(self, compiled: CompiledSet, tenants: TenantNumbers) -> None:
        """Prepare the questions.

        Args:
            compiled: The set; its wanted keys are the columns of the scans to come.
            tenants: Numbers the tenants.
        """
        self._compiled = compiled
        self._tenants = tenants
        self._answers = [_Answers(key, compiled, tenants) for key in compiled.wanted]
        self._by_status: UInt64s = np.zeros(_STATUS_CODES + 1, np.uint64)
        for bit, predicate in enumerate(compiled.predicates):
            if isinstance(predicate, StatusIn):
                self._by_status[list(predicate.codes)] |= np.uint64(1 << bit)
        self._ranks: Int32s = np.zeros(0, np.int32)

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
        status = scan.spans["status"]
        known = np.where((status >= 0) & (status < _STATUS_CODES), status, _STATUS_CODES)
        matched = self._by_status[known]
        tenants = np.zeros(len(scan.spans), np.int32)
        for key, answers in enumerate(self._answers):
            answers.prepare()
            own = answers.dictionary.encode(buffer, scan.attributes, key)
            shared = answers.dictionary.encode(buffer, scan.resources, key)
            answers.learn()
            matched |= answers.matched[own]
            matched |= answers.matched[shared][scan.spans["resource"]]
            if answers.names_tenant:
                tenants = self._tenant_of(answers, own, shared, scan.spans)
        if self._compiled.policy_set.tenant.source == "header":
            tenants = self._tenants_of_headers(headers)[scan.spans["record"]]
        return Matches(matched, tenants)

    def _tenant_of(self, answers: _Answers, own: Int32s, shared: Int32s, spans: Rows) -> Int32s:
        source = self._compiled.policy_set.tenant.source
        of_span: Int32s = answers.tenants[own]
        of_resource: Int32s = answers.tenants[shared][spans["resource"]]
        if source == "span":
            return of_span
        if source == "resource":
            return of_resource
        ranks = self.ranks()
        resource_counts = (of_resource != NO_TENANT) & (
            (of_span == NO_TENANT) | (ranks[of_resource] < ranks[of_span])
        )
        tenants: Int32s = np.where(resource_counts, of_resource, of_span)
        return tenants

    def _tenants_of_headers(self, headers: Sequence[Headers | None]) -> Int32s:
        key = self._compiled.policy_set.tenant.key
        tenants = np.zeros(len(headers), np.int32)
        for record, pairs in enumerate(headers):
            for name, value in pairs or ():
                if name == key:
                    tenants[record] = self._tenants.number(value)
                    break
        return tenants
