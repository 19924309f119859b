"""`streamsampler demo`: traffic, broker, worker and policies in one process, and the result."""

import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Final

import click
from confluent_kafka import Consumer, Message, TopicPartition
from rich.console import Console

from streamsampler.cli.terminal import Steps, result_console, steps_on_terminal
from streamsampler.config import Http, Log, Settings, Store
from streamsampler.kafka.embedded import PARTITIONS, EmbeddedKafka
from streamsampler.kafka.errors import FailStopError
from streamsampler.kafka.policy_topic import publish_policy_set
from streamsampler.kafka.worker import Watch, run_worker
from streamsampler.logs import configure_logging
from streamsampler.outcome import Counts, Decision
from streamsampler.policies import PolicySet
from streamsampler.report.spans import ShownSpan, spans_shown
from streamsampler.report.tables import conservation_line, verdict_table
from streamsampler.report.tally import tally_of
from streamsampler.report.waterfall import Waterfall
from streamsampler.spans.payload import spans_of
from streamsampler.traffic import (
    Expectation,
    TopicWrite,
    Traffic,
    TrafficSettings,
    judge,
    write_topic,
)
from streamsampler.warmup import compile_kernels

MOST_TRACES: Final = 3_500
"""More, and a partition of the embedded broker, which keeps 5 MB, may let go of the oldest."""

STEPS: Final = (
    ("starting the broker", 1),
    ("publishing the policies", 1),
    ("compiling the kernels (cached for the next time)", 4),
    ("joining the consumer group", 3),
    ("sampling", 6),
    ("deciding the last traces", 3),
    ("reading the topics", 2),
)
_ANSWER_MS: Final = 3_000
"""The embedded broker answers at once, or, to what it does not know, never."""
_PATIENCE_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.1
_BAD_RECORDS: Final = 5

POLICIES: Final = """\
# Windows of seconds, so that the demo ends soon; 30s and 6s are the defaults.
decision_wait: 4s
completion_grace: 1s
policies:
  - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
  - {name: slow, type: latency, latency: {threshold_ms: 1500}}
  - name: canary
    type: string_attribute
    string_attribute: {key: deployment.environment.name, values: [canary]}
  - name: tenants
    type: tenant
    tenant: {tenants: {globex: always, initech: 25}}
  - {name: baseline, type: probabilistic, probabilistic: {sampling_percentage: 2}}
"""


@dataclass(slots=True)
class Seen:
    """The worker's counts by partition, as it last told them."""

    counts: dict[int, Counts] = field(default_factory=dict)

    @property
    def total(self) -> Counts:
        """Of all partitions."""
        return sum(self.counts.values(), Counts())

    @property
    def conserved(self) -> bool:
        """Whether the conservation law holds on every partition."""
        return all(counts.conserved() for counts in self.counts.values())


@dataclass(frozen=True, slots=True)
class Results:
    """What stands on the topics when all is done.

    Attributes:
        decisions: The decisions topic.
        output: The output topic, the values of each trace.
        dead_letters: How many records are on the dead-letter topic.
    """

    decisions: Sequence[Decision]
    output: Mapping[bytes, Sequence[bytes]]
    dead_letters: int = 0


@click.command()
@click.option(
    "--traces",
    type=click.IntRange(1, MOST_TRACES),
    default=2_000,
    show_default=True,
    help="How many to generate.",
)
@click.option("--seed", type=int, default=7, show_default=True, help="Of all chance.")
@click.option("--no-color", is_flag=True, help="Print without colours.")
@click.pass_context
def demo(context: click.Context, /, *, traces: int, seed: int, no_color: bool) -> None:
    """Show the whole thing on an embedded broker: nothing to install, done in half a minute.

    Generates traffic, samples it with a worker in a consumer group, and holds what came out
    against what the generator knows to be right.
    """
    configure_logging(Log(level="warning", format="text"))
    started = time.monotonic()
    with (
        steps_on_terminal(STEPS, no_color=no_color) as steps,
        EmbeddedKafka() as kafka,
        tempfile.TemporaryDirectory(prefix="streamsampler-") as directory,
    ):
        settings = Settings(
            kafka={"bootstrap.servers": kafka.bootstrap},
            group_id="streamsampler-demo",
            store=Store(path=Path(directory) / "worker"),
            guarantee="at_least_once",
            http=Http(address=None),
            startup_timeout_ms=_ANSWER_MS,
        )
        kafka.create(settings.topics)
        steps.go("publishing the policies")
        policy_set = publish_policy_set(settings, POLICIES, "the demo's policies")
        steps.go("compiling the kernels (cached for the next time)")
        compile_kernels(policy_set, Path(directory) / "warm-up")
        steps.go("joining the consumer group")
        traffic = _traffic(traces, seed, policy_set)
        seen = _sample(settings, traffic, steps)
        steps.go("reading the topics")
        results = _results(settings)
    expected = [judge(trace, policy_set) for trace in traffic.traces]
    problems = mismatches(results, expected, seen.total)
    console = result_console(no_color=no_color)
    _print(console, settings, results, seen, time.monotonic() - started)
    for problem in problems:
        click.echo(f"Error: {problem}", err=True)
    context.exit(0 if seen.conserved and not problems else 1)


def _traffic(traces: int, seed: int, policy_set: PolicySet) -> Traffic:
    windows = policy_set.decision_wait_ms, policy_set.completion_grace_ms
    fitted = TrafficSettings(traces=traces, seed=seed, bad_records=_BAD_RECORDS).fitted(*windows)
    start_ms = time.time_ns() // 1_000_000 - fitted.duration_ms
    return Traffic(replace(fitted, start_ms=start_ms))


def _sample(settings: Settings, traffic: Traffic, steps: Steps) -> Seen:
    """Write the traffic and let a worker sample it, until every trace is decided."""
    seen = Seen()
    stop = Event()
    with ThreadPoolExecutor(2) as pool:
        worker = pool.submit(
            run_worker, settings, stop.is_set, Watch(counts=lambda counts: _note(seen, counts))
        )
        producer = {"bootstrap.servers": settings.bootstrap}
        writer = pool.submit(
            write_topic, traffic.records(), producer, settings.topics.input, stop=stop
        )
        try:
            _wait(worker, writer, seen, steps)
        finally:
            stop.set()
    worker.result()
    return seen


def _note(seen: Seen, counts: Mapping[int, Counts]) -> None:
    seen.counts = {partition: replace(each) for partition, each in counts.items()}


def _wait(worker: "Future[None]", writer: "Future[TopicWrite]", seen: Seen, steps: Steps) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if worker.done():
            worker.result()
            raise FailStopError("the worker stopped before everything was decided.")
        total = seen.total
        written = writer.result() if writer.done() else None
        if written is not None and written.failed:
            raise FailStopError(f"the traffic was not written: {written.reasons[0]}.")
        if _show(total, written, steps):
            return
        time.sleep(_LOOK_SECONDS)
    raise FailStopError(
        f"after {_PATIENCE_SECONDS:g} s, {seen.total.traces_buffered:,} traces are not decided; "
        "is something else taking this machine's time?"
    )


def _show(total: Counts, written: TopicWrite | None, steps: Steps) -> bool:
    """Show how far the worker is.

    Returns:
        Whether every trace is decided.
    """
    said = f"{total.spans_in:,} spans in, {total.kept:,} kept"
    if not total.records:
        return False
    if written is None or total.records < written.records:
        steps.go("sampling", said, total.records / written.records if written else 0.0)
        return False
    steps.go("deciding the last traces", said)
    return total.traces_buffered == 0


def _results(settings: Settings) -> Results:
    decisions = [
        Decision.unpack(message.partition() or 0, message.key() or b"", message.value() or b"")
        for message in _read_topic(settings, settings.topics.decisions)
    ]
    output: dict[bytes, list[bytes]] = {}
    for message in _read_topic(settings, settings.topics.output):
        trace_id = bytes.fromhex((message.key() or b"").decode())
        output.setdefault(trace_id, []).append(message.value() or b"")
    dead_letters = sum(1 for _ in _read_topic(settings, settings.topics.dead_letters))
    return Results(decisions, output, dead_letters)


def _read_topic(settings: Settings, topic: str) -> Iterator[Message]:
    with _reader(settings) as consumer:
        ends = {}
        for partition in range(PARTITIONS):
            place = TopicPartition(topic, partition)
            _, ends[partition] = consumer.get_watermark_offsets(place, timeout=_PATIENCE_SECONDS)
        consumer.assign([TopicPartition(topic, partition, 0) for partition in ends])
        left = sum(ends.values())
        while left:
            messages = consumer.consume(min(left, 10_000), _PATIENCE_SECONDS)
            if not messages:
                raise FailStopError(f"{left} records of {topic} cannot be read back.")
            for message in messages:
                error = message.error()
                if error is not None:
                    raise FailStopError(f"{topic} cannot be read back: {error.str()}.")
            left -= len(messages)
            yield from messages


@contextmanager
def _reader(settings: Settings) -> Iterator[Consumer]:
    consumer = Consumer(
        {**settings.kafka, "group.id": "streamsampler-demo-reader", "enable.auto.commit": "false"}
    )
    try:
        yield consumer
    finally:
        consumer.close()


def mismatches(results: Results, expected: Sequence[Expectation], counts: Counts) -> list[str]:
    """Hold what stands on the topics against what must stand there.

    Args:
        results: What was read back.
        expected: The right verdict of each trace.
        counts: What the worker says that it did.

    Returns:
        A sentence for each kind of difference; none where all is right.
    """
    found = []
    decided = Counter(decision.trace_id for decision in results.decisions)
    verdicts = {one.trace_id: (one.decision, one.policy) for one in results.decisions}
    right = {one.trace_id: (one.decision, one.policy) for one in expected}
    twice = [trace_id for trace_id, times in decided.items() if times > 1]
    if twice:
        found.append(f"{len(twice)} traces were decided twice, {twice[0].hex()} for one.")
    wrong = [trace_id for trace_id in right if verdicts.get(trace_id) != right[trace_id]]
    if wrong:
        found.append(
            f"{len(wrong)} verdicts are wrong, as of {wrong[0].hex()}: "
            f"{verdicts.get(wrong[0])} and not {right[wrong[0]]}."
        )
    unknown = verdicts.keys() - right.keys()
    if unknown:
        found.append(f"{len(unknown)} decided traces were never generated.")
    kept = {one.trace_id: Counter(one.span_ids) for one in expected if one.span_ids}
    out = {
        trace_id: Counter(span.span_id for value in values for _, _, span in spans_of(value))
        for trace_id, values in results.output.items()
    }
    differing = [
        trace_id for trace_id in kept.keys() | out.keys() if kept.get(trace_id) != out.get(trace_id)
    ]
    if differing:
        found.append(f"{len(differing)} traces on the output topic are not as they must be.")
    spans = sum(sum(ids.values()) for ids in out.values())
    if spans != counts.kept:
        found.append(f"{counts.kept:,} spans were kept and {spans:,} are on the output topic.")
    if results.dead_letters != counts.dead_lettered:
        found.append(
            f"{counts.dead_lettered} records were bad and {results.dead_letters} are on the "
            "dead-letter topic."
        )
    return found


def showcase(results: Results) -> tuple[Decision, list[ShownSpan]] | None:
    """Choose the kept trace to draw: of a size to see at once, with an error in a child at best.

    Args:
        results: What was read back.

    Returns:
        Its decision and spans; None where nothing was kept.
    """
    best: tuple[int, Decision, list[ShownSpan]] | None = None
    for decision in results.decisions:
        values = results.output.get(decision.trace_id)
        if not values:
            continue
        spans = spans_shown(values)
        handy = 6 <= len(spans) <= 15
        child_failed = any(span.error and span.parent_id for span in spans)
        rank = 4 * handy + 2 * child_failed + decision.error
        if best is None or rank > best[0]:
            best = rank, decision, spans
    return best[1:] if best else None


def _print(
    console: Console, settings: Settings, results: Results, seen: Seen, seconds: float
) -> None:
    counts = seen.total
    console.print(verdict_table(tally_of(results.decisions), counts))
    console.print(
        f"{counts.records:,} records through {len(seen.counts)} partitions in {seconds:.1f} s; "
        f"guarantee: {settings.guarantee}, as the embedded broker has no transactions.",
        soft_wrap=True,
    )
    console.print(conservation_line(counts), soft_wrap=True)
    chosen = showcase(results)
    if chosen is not None:
        decision, spans = chosen
        console.print()
        title = f"Kept by {decision.policy}: trace {decision.trace_id.hex()}"
        console.print(Waterfall(spans, title))
