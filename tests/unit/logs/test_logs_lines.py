"""Log lines: one for each event, so many a minute, and nothing of a span in them."""

import ast
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from streamsampler import logs
from streamsampler.config import Log
from streamsampler.logs import LEFT_OUT, MOST_EVENTS, RateLimit, configure_logging
from tests.kafka_cluster import REPOSITORY
from topologies.command import log_like_workers

SECRET = "GET /users/alice"
FIELDS = frozenset(
    """
    address after attempt bytes client code commits conserved decisions_read endpoint entries error
    expected_seconds facility fatal first group group_protocol guarantee in_force input
    low_watermark mend metrics missing of offset offsets older_decisions output partition partitions
    path place position problem read_from reason records replayed seconds seen set sets setting
    shard shards source spans state text topic topics topology unreadable unsaid
    until_there_is_one version wait_ms waits_for warning what worker
    """.split()  # noqa: SIM905 - a page of words reads better
)
"""Whoever adds one makes sure that it never holds what a span holds."""
COUNTS = {"one.told()", "counts.told()", "_told(running, monotonic_ms())"}
"""What is given as a whole: numbers of a partition, of an app."""


class Moved:
    """A clock that is moved."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Moved:
    return Moved()


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_of_one_event_so_many_lines_a_minute_get_through(clock: Moved) -> None:
    limit = RateLimit(3, clock)
    assert [limit.admit("again") for _ in range(10)] == [0, 0, 0, *[None] * 7]
    assert limit.admit("another") == 0
    clock.now += 59.9
    assert limit.admit("again") is None
    clock.now += 0.1
    assert limit.admit("again") == 8, "the next line says how many were left out"
    assert [limit.admit("again") for _ in range(3)] == [0, 0, None]
    clock.now += 3_600
    assert limit.admit("again") == 1
    clock.now += 60
    assert limit.admit("again") == 0


def test_without_a_limit_all_get_through(clock: Moved) -> None:
    limit = RateLimit(0, clock)
    assert {limit.admit("again") for _ in range(10_000)} == {0}


def test_it_keeps_count_of_a_bounded_number_of_events(clock: Moved) -> None:
    limit = RateLimit(3, clock)
    let_through = [limit.admit(f"event {number}") for number in range(MOST_EVENTS + 10)]
    assert let_through.count(0) == MOST_EVENTS + 3
    assert len(limit._windows) == MOST_EVENTS + 1


def test_a_line_says_how_many_were_left_out_before_it(
    capsys: pytest.CaptureFixture[str], clock: Moved, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited: Callable[[int], RateLimit] = lambda most: RateLimit(most, clock)  # noqa: E731
    monkeypatch.setattr(logs, "RateLimit", limited)
    configure_logging(Log(lines_per_minute=2))
    log = structlog.get_logger("test")
    for number in range(5):
        log.warning("consumer_trouble", partition=number)
    log.info("worker_stopped")
    clock.now += 60
    log.warning("consumer_trouble", partition=9)
    written = [(one["event"], one.get("partition"), one.get(LEFT_OUT)) for one in lines(capsys)]
    assert written == [
        ("consumer_trouble", 0, None),
        ("consumer_trouble", 1, None),
        ("worker_stopped", None, None),
        ("consumer_trouble", 9, 3),
    ]


def test_what_is_not_written_for_its_level_counts_for_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging(Log(lines_per_minute=1))
    log = structlog.get_logger("test")
    log.debug("seen")
    log.info("seen")
    assert len(lines(capsys)) == 1


def test_the_lines_of_faust_are_limited_by_what_they_say_before_it_is_filled_in(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log_like_workers(Log(lines_per_minute=2))
    for number in range(5):
        logging.getLogger("faust").warning("no answer from %s", number)
    assert [one["event"] for one in lines(capsys)] == ["no answer from 0", "no answer from 1"]


def test_a_line_of_faust_says_how_many_were_left_out_before_it(clock: Moved) -> None:
    limit = RateLimit(1, clock)
    record = logging.LogRecord("faust", logging.WARNING, "", 0, "no answer from %s", (1,), None)
    assert [limit.filter(record) for _ in range(3)] == [True, False, False]
    clock.now += 60
    assert limit.filter(record)
    assert getattr(record, LEFT_OUT) == 2


def raise_with_content() -> None:
    name = SECRET  # a local, as the engine's hold what spans hold
    int(name)


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize("set_up", [configure_logging, log_like_workers])
def test_an_exception_is_one_line_that_quotes_nothing(
    capsys: pytest.CaptureFixture[str], form: str, set_up: Callable[[Log], None]
) -> None:
    set_up(Log.model_validate({"format": form}))
    told = (structlog if set_up is configure_logging else logging).__dict__
    log = told["get_logger" if set_up is configure_logging else "getLogger"]("test")
    try:
        raise_with_content()
    except ValueError:
        log.exception("engine_failed")
    (line,) = capsys.readouterr().err.splitlines()
    assert SECRET not in line
    assert "ValueError" in line
    assert "raise_with_content" in line
    assert "test_logs_lines.py:" in line


def test_at_debug_an_exception_says_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Log(level="debug"))
    try:
        raise_with_content()
    except ValueError as error:
        structlog.get_logger("test").warning("engine_failed", exc_info=error)
    (line,) = lines(capsys)
    assert SECRET in line["raised"]
    assert line["through"][-1].endswith("raise_with_content")


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Every call of a logger in the two packages, and where it is."""
    for package in ("streamsampler", "topologies"):
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("_log."):
                    yield f"{path.relative_to(REPOSITORY)}:{node.lineno}", node


def test_every_line_is_a_constant_event_with_fields_that_hold_nothing_of_a_span() -> None:
    found = list(calls())
    assert len(found) > 50
    for place, call in found:
        assert len(call.args) == 1, place
        assert isinstance(call.args[0], ast.Constant), place
        for keyword in call.keywords:
            if keyword.arg is None:
                assert ast.unparse(keyword.value) in COUNTS, place
            else:
                assert keyword.arg in FIELDS, f"{place}: {keyword.arg}"


def test_nobody_logs_by_another_name() -> None:
    for package in ("streamsampler", "topologies"):
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            text = path.read_text()
            makes = text.count("structlog.get_logger(") + text.count("logging.getLogger(")
            named = text.count("_log = structlog.get_logger(")
            assert makes == named or path.name in {"command.py", "otlp.py"}, path
