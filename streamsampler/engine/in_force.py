"""The policies by which the engine decides, and what it takes to ask them; others may replace them.

Whatever a batch is asked is asked here (`InForce.read`), and so is what is due (`InForce.judge`).
"""

from collections.abc import Mapping

from streamsampler.engine.health import Health, HealthQuestions
from streamsampler.engine.judging import Judge, OutputForm
from streamsampler.engine.limits import Limits, fold_settings
from streamsampler.engine.partition import BatchColumns, Partition, batch_columns
from streamsampler.engine.replacing import Ground, Replacement, alongside, answer_all, keep_answers
from streamsampler.estimates.summaries import Summary
from streamsampler.estimates.tables import Table, ThresholdTable
from streamsampler.outcome import GroupKnowledge, PolicyCounts
from streamsampler.policies import PolicySet, TenantNumbers
from streamsampler.policies.demands import Asking, RateTables, joined
from streamsampler.policies.groups import GroupNumbers
from streamsampler.policies.matching import Matcher
from streamsampler.policies.memory import Memory
from streamsampler.policies.percentiles import Percentiles
from streamsampler.policies.roots import RootNumbers
from streamsampler.policies.sets import PolicySets
from streamsampler.policies.together import CompiledSets
from streamsampler.spans.columns import Bytes
from streamsampler.spans.records import RecordBatch
from streamsampler.spans.scan import Scanner
from streamsampler.traces.table import lengthen


class InForce:
    """The policies in force, and those that are to come into force.

    Attributes:
        judge: Decides traces by the policies in force.
        counts: What each policy in force did, by the names of set and policy; it goes on where a
            policy of the same name takes its place.
    """

    def __init__(
        self, sets: PolicySets, limits: Limits, topic_partitions: int, *,
        attributes: bool = False, health: HealthQuestions | None = None,
    ) -> None:  # fmt: skip
        """Begin with policies.

        Args:
            sets: The policies.
            limits: How large things may get.
            topic_partitions: How many partitions the input topic has.
            attributes: Whether kept spans say in attributes by what they were kept.
            health: What is asked of services; None: nothing.

        Raises:
            PolicyError: The policies cannot be compiled.
        """
        self._limits = limits
        self._attributes = attributes
        self._health: Health | None = Health(health) if health else None
        tenants, roots = TenantNumbers(), RootNumbers()
        groups = GroupNumbers(tenants, roots)
        self._ground = Ground(
            tenants, roots, groups, Percentiles(groups), RateTables(), Memory(), topic_partitions
        )
        self._replacement: Replacement | None = None
        self.counts: dict[tuple[str, str], PolicyCounts] = {}
        self._decide_by(self._ground.compile(sets), {})

    @property
    def sets(self) -> PolicySets:
        """The policies in force."""
        return self._compiled.sets

    def ask_of_services(self, health: HealthQuestions | None) -> None:
        """Ask something else of services from now on.

        Args:
            health: The questions; None: nothing.
        """
        self._health = self.judge.health = Health(health) if health else None

    def learn(self, key: bytes, table: Table) -> None:
        """Learn what the control plane tells of the whole group.

        Args:
            key: Of its record.
            table: What it says.
        """
        if isinstance(table, ThresholdTable):
            self._ground.percentiles.learn(key, table)
        else:
            self._ground.rates.tables[table.policy] = table

    def knowledge(self) -> GroupKnowledge:
        """Tell what is known of the whole group."""
        percentiles, rates = self._ground.percentiles, self._ground.rates
        return GroupKnowledge(
            thresholds_ms=percentiles.newest_ms,
            rates_ms=rates.newest_ms,
            thresholds={
                "table": percentiles.by_table,
                "own": percentiles.by_own,
                "unknown": percentiles.unknown,
            },
            rates={"table": rates.by_table, "own": rates.by_own},
            regressed=percentiles.regressed,
        )

    def summaries(self, partition: int, before: int | None, part: int) -> list[Summary]:
        """Tell what was asked of goals, and how services did, in intervals that are over.

        Args:
            partition: The input partition.
            before: Number of the interval that is not over yet; None: all are.
            part: Tells the sums of two owners of the partition apart.

        Returns:
            Summaries of intervals; each is told once.
        """
        told = [
            summary
            for state in self._ground.learned.of(partition)
            if isinstance(state, Asking)
            for summary in state.tell(partition, before, part)
        ]
        services = self._health.tell(partition, before, part) if self._health else ()
        return [*joined(told), *services]

    @property
    def default(self) -> PolicySet:
        """The default set, whose waits hold for all."""
        return self._compiled.sets.default

    @property
    def replacing(self) -> bool:
        """Whether others are to come into force, and buffered spans are read for them."""
        return self._replacement is not None

    def read(self, batch: RecordBatch, passed: Bytes | None = None) -> BatchColumns:
        """Scan a batch, and ask of its spans what policies want to know.

        Args:
            batch: The batch.
            passed: uint8[n], 1 for a record to pass over.

        Returns:
            Its columns; they hold until the next call.
        """
        scan = self._scanner.scan(batch.buffer, batch.bounds, passed)
        matches = self._matcher.match(batch.buffer, scan, batch.headers)
        matcher = self._matcher
        return batch_columns(batch, scan, matches, matcher.ranks(), matcher.root_order)

    def forget(self, partition: int) -> None:
        """Forget what policies have learned of a partition that is gone.

        Args:
            partition: Its number.
        """
        self._ground.learned.forget(partition)
        self._ground.percentiles.forget(partition)
        if self._health:
            self._health.forget(partition)

    def use(self, sets: PolicySets, held: Mapping[int, Partition]) -> bool:
        """Let other policies come into force; `Sampler.use` says how.

        Args:
            sets: The policies.
            held: The partitions that the engine holds.

        Returns:
            Whether they are in force already.

        Raises:
            PolicyError: They cannot be compiled; those in force stay.
            StoreError: The store cannot be read.
        """
        if self._replacement:
            self._replacement = None
            self._ask(self._compiled)
            keep_answers(held.values(), self._compiled)
        compiled = alongside(self._ground, sets, self._compiled)
        if compiled is None:
            self._decide_by(self._ground.compile(sets), held)
            answer_all(held.values(), self.read)
        elif compiled.predicates.keys() - self._compiled.predicates.keys():
            self._ask(self._compiled, compiled)
            live = {number: 0 for number, partition in held.items() if partition.table.live}
            self._replacement = Replacement(compiled, live)
            self._finish(held)
        else:
            self._decide_by(compiled, held)
        return not self.replacing

    def go_on(self, held: Mapping[int, Partition]) -> None:
        """Read one more block for policies that are to come into force; then they may be.

        Args:
            held: The partitions that the engine holds.

        Raises:
            StoreError: The store cannot be read.
        """
        if self._replacement:
            number = next(iter(self._replacement.left))
            self._replacement.go_on(held.get(number), number, self.read)
            self._finish(held)

    def _finish(self, held: Mapping[int, Partition]) -> None:
        if self._replacement and not self._replacement.left:
            self._decide_by(self._replacement.compiled, held)

    def _decide_by(self, compiled: CompiledSets, held: Mapping[int, Partition]) -> None:
        """Decide by these from now on, and ask of spans what they ask."""
        self._compiled, self._replacement = compiled, None
        self.counts = {named: self.counts.get(named, PolicyCounts()) for named in compiled.named}
        self.judge = Judge(
            compiled,
            self._ground.tenants,
            self._ground.groups,
            self._ground.percentiles,
            self._health,
            OutputForm(self._limits.max_record_bytes, self._attributes),
            list(self.counts.values()),
        )
        self._ask(compiled)
        self._ground.learned.keep_only(compiled.compilation.owners)
        self._ground.rates.asked.clear()
        keep_answers(held.values(), compiled)
        for partition in held.values():
            lengthen(partition.table, self.default.decision_wait_ms)
            partition.settings = fold_settings(self.default, self._limits, partition.resumed_at)

    def _ask(self, *compiled: CompiledSets) -> None:
        """Ask of each span that comes in what all of these ask."""
        predicates = {bit: one for each in compiled for bit, one in each.predicates.items()}
        self._matcher = Matcher(
            predicates, self.default.tenant, self._ground.tenants, self._ground.roots
        )
        self._scanner = Scanner(
            self._matcher.wanted,
            scopes=self._matcher.reads_scopes,
            events=self._matcher.reads_events,
        )
