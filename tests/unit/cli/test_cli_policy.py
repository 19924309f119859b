"""`streamsampler policy`: exit codes, what stands on which stream, and what a topic's sets mean."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from streamsampler.cli import main
from streamsampler.cli.policy import SUBCOMMANDS
from streamsampler.cli.policy_topic import (
    difference,
    history_lines,
    in_force,
    judged,
    laggards,
    refuse_what_workers_would,
)
from streamsampler.kafka.policy_in_force import Refusal
from streamsampler.kafka.policy_records import PolicyRecord
from streamsampler.kafka.worker_status import WorkerStatus
from streamsampler.policies import PolicyError, load_policy_set

SLOW = "policies: [{name: slow, type: latency, latency: {threshold_ms: 5}}]\n"
BAD = (
    "policies:\n- {name: a, type: latency, latency: {treshold_ms: 5}}\n- {name: a, type: latncy}\n"
)
DEAD = (
    "policies: [{name: all, type: always_sample}, "
    "{name: slow, type: latency, latency: {threshold_ms: 5}}]\n"
)
RULES = "RulesVersion: 2\nSamplers: {__default__: {DynamicSampler: {SampleRate: 4%s}}}\n"


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["policy", *map(str, words)])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "policies.yaml"


def test_help_lists_each_command_with_a_line() -> None:
    lines = [
        line.split(maxsplit=1) for line in run("--help").output.split("Commands:")[1].split("\n")
    ]
    assert [line for line in lines if line] == [[name, it.line] for name, it in SUBCOMMANDS.items()]


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_each_command_is_there_under_its_name(name: str) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0
    assert f"policy {name} " in result.output.replace("\n", " ")


def test_files_are_dealt_with_without_a_kafka_client(file: Path) -> None:
    file.write_text(SLOW)
    script = (
        "import sys; from streamsampler.cli import main\n"
        f"main(['policy', 'validate', {str(file)!r}], standalone_mode=False)\n"
        "sys.exit(str('confluent_kafka' in sys.modules))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )
    assert ended.stderr.strip() == "False"


def test_a_valid_set_is_described(file: Path) -> None:
    file.write_text(SLOW)
    result = run("validate", file)
    assert result.exit_code == 0
    version = load_policy_set(SLOW, "s").version
    assert result.stdout == f"{file}: valid, 1 policy, version {version}\n"
    assert result.stderr == ""


def test_all_that_is_wrong_is_said_at_once_and_the_other_files_are_checked(file: Path) -> None:
    good = file.with_name("good.yaml")
    file.write_text(BAD)
    good.write_text(SLOW)
    result = run("validate", file, good)
    assert result.exit_code == 2
    unknown_key, same_name, unknown_type = result.stderr.splitlines()
    assert unknown_key.startswith(f"Error: {file}:2:")
    assert unknown_key.endswith("treshold_ms is unknown; did you mean threshold_ms?")
    assert same_name.startswith(f"Error: {file}:3:")
    assert unknown_type.endswith("did you mean latency?")
    assert result.stdout.startswith(f"{good}: valid, ")


def test_a_dead_rule_is_a_warning_and_strictly_a_failure(file: Path) -> None:
    file.write_text(DEAD)
    for more, code in ((), 0), (("--strict",), 1):
        result = run("validate", file, *more)
        assert result.exit_code == code
        assert result.stderr == (
            f'Warning: {file}: policy "slow" changes nothing and is never named, as "all" before '
            "it keeps every trace.\n"
        )
        assert f"{file}: valid, 2 policies, version " in result.stdout


@pytest.mark.parametrize("command", [["validate"], ["import", "otel"], ["import", "refinery"]])
def test_a_file_that_cannot_be_read_is_named(command: list[str], file: Path) -> None:
    result = run(*command, file)
    assert result.exit_code == 2
    assert result.stderr == f"Error: {file}: cannot be read: No such file or directory.\n"
    file.write_bytes(b"policies: \xff")
    assert "byte 10 is not UTF-8" in run(*command, file).stderr


def test_the_schema_is_json() -> None:
    result = run("schema")
    assert result.exit_code == 0
    assert "$defs" in json.loads(result.stdout)


def test_an_import_without_losses_exits_with_0_and_loads(file: Path) -> None:
    file.write_text(RULES % "")
    result = run("import", "refinery", file)
    assert result.exit_code == 0, result.stderr
    policy_set = load_policy_set(result.stdout, "imported")
    assert [policy.type for policy in policy_set.policies] == ["probabilistic"]
    assert result.stderr.startswith("Note: ")
    assert result.stdout.startswith("# Imported from policies.yaml.\n")


def test_what_was_not_imported_is_said_line_by_line_and_the_set_is_written(file: Path) -> None:
    file.write_text(RULES % ", FieldList: [a], MaxKeys: 5")
    output = file.with_name("set.yaml")
    result = run("import", "refinery", file, "--output", output)
    assert result.exit_code == 1
    lost = [line for line in result.stderr.splitlines() if line.startswith("Not imported: ")]
    assert [line.split("DynamicSampler.")[1].split()[0] for line in lost] == [
        "FieldList",
        "MaxKeys",
    ]
    assert all(line.startswith(f"Not imported: {file}:2:") for line in lost)
    assert result.stdout == ""
    assert load_policy_set(output.read_text(), "set").policies[0].type == "probabilistic"


def test_a_collectors_configuration_is_imported(file: Path) -> None:
    inner = SLOW.strip()
    file.write_text(f"receivers: {{}}\nprocessors:\n  tail_sampling:\n    {inner}\n")
    result = run("import", "otel", file)
    assert result.exit_code == 0
    assert load_policy_set(result.stdout, "imported") == load_policy_set(SLOW, "slow")


def test_an_output_that_cannot_be_written_is_bad_usage(file: Path) -> None:
    file.write_text(RULES % "")
    output = file.with_name("no") / "set.yaml"
    result = run("import", "refinery", file, "--output", output)
    assert result.exit_code == 2
    assert f"--output {output} cannot be written" in result.stderr


def test_an_import_that_finds_nothing_exits_with_1_and_says_why(file: Path) -> None:
    file.write_text("RulesVersion: 2\nSamplers: {__default__: {}}\n")
    result = run("import", "refinery", file)
    assert result.exit_code == 1
    assert "has no sampler" in result.stderr
    assert "Error: the imported set:" in result.stderr


ALL = "policies: [{name: all, type: always_sample}]\n"
TOPIC = "streamsampler.policies"
MOMENT = 1_800_000_000_000  # 2027-01-15T08:00:00Z


def records(*values: str | None, name: str = "default") -> list[PolicyRecord]:
    encoded = [None if value is None else value.encode() for value in values]
    return [
        PolicyRecord(offset, MOMENT + offset * 1000, name.encode(), value)
        for offset, value in enumerate(encoded)
    ]


def offset_in_force(some: list[PolicyRecord], name: str = "default") -> int | None:
    current = in_force(judged(some, name, TOPIC))
    return None if current is None else current.record.offset


@pytest.mark.parametrize(
    ("values", "offset"),
    [
        ((), None),
        ((ALL,), 0),
        ((ALL, SLOW), 1),
        ((ALL, SLOW, BAD), 1),
        ((BAD,), None),
        ((ALL, None), 0),
        ((None,), None),
    ],
)
def test_the_last_valid_set_is_in_force_even_if_it_was_deleted(
    values: tuple[str | None, ...], offset: int | None
) -> None:
    assert offset_in_force(records(*values)) == offset


@pytest.mark.parametrize(
    ("values", "offset"),
    [((SLOW,), 1), ((SLOW, BAD), 1), ((SLOW, None), None), ((SLOW, None, ALL), 3)],
)
def test_a_tenant_s_set_is_gone_once_it_is_deleted(
    values: tuple[str | None, ...], offset: int | None
) -> None:
    some = [*records(ALL), *records(ALL, *values, name="acme")[1:]]
    assert offset_in_force(some, "acme") == offset
    assert offset_in_force(some) == 0


def test_the_history_says_what_workers_make_of_each_record() -> None:
    version = load_policy_set(ALL, "all").version
    lines = history_lines(judged(records(ALL, BAD, None), "default", TOPIC))
    assert lines[0] == "OFFSET   TIME                 VERSION"
    assert lines[1] == f"0        2027-01-15T08:00:00Z {version} valid, 1 policy, in force"
    assert lines[2].startswith("1        2027-01-15T08:00:01Z -            refused: ")
    assert "treshold_ms is unknown" in lines[2]
    assert lines[3].endswith("deleted; the set before it stays in force")


def test_a_difference_is_of_what_sets_say_and_not_of_how_it_is_written() -> None:
    (current,) = judged(records(SLOW), "default", TOPIC)
    respaced = SLOW.replace(": ", ":   ") + "decision_wait: 30s\n# and a comment\n"
    assert difference(current, load_policy_set(respaced, "f"), TOPIC, "f.yaml") == []
    lines = difference(current, load_policy_set(SLOW.replace("5", "7"), "f"), TOPIC, "f.yaml")
    assert lines[:2] == [f"--- {TOPIC} offset 0", "+++ f.yaml"]
    assert [line.split() for line in lines if line[0] in "-+"][2:] == [
        ["-", "threshold_ms:", "5"],
        ["+", "threshold_ms:", "7"],
    ]


def test_where_nothing_is_in_force_all_is_new() -> None:
    lines = difference(None, load_policy_set(SLOW, "f"), TOPIC, "f.yaml")
    assert lines[0] == f"--- {TOPIC}"
    assert not [line for line in lines[2:] if line[0] == "-"]


def test_a_set_that_cannot_be_in_force_with_the_others_is_refused_before_it_is_written() -> None:
    def asking(first: int) -> str:
        one = "{{name: p{0}, type: string_attribute, string_attribute: {{key: k{0}, values: [v]}}}}"
        return f"policies: [{', '.join(one.format(i) for i in range(first, first + 40))}]"

    there = [*records(asking(0)), *records(asking(0), asking(40), name="acme")[1:]]
    refuse_what_workers_would(there, "acme", asking(0), TOPIC, "f.yaml")
    with pytest.raises(PolicyError, match=r"f.yaml: workers would refuse this set: .*at most 64"):
        refuse_what_workers_would(there[:1], "acme", asking(40), TOPIC, "f.yaml")


def status(worker: str, version: str | None, *refused: Refusal) -> WorkerStatus:
    versions = {} if version is None else {"default": version}
    return WorkerStatus(
        "g", worker, MOMENT, MOMENT, policy_versions=versions, state="ready", refused=refused
    )


def test_workers_that_do_not_run_the_version_are_named_with_the_reason() -> None:
    refusal = Refusal("default", 7, "offset 7: it asks too much.")
    of_another = Refusal("acme", 8, "offset 8: bad.")
    workers = [
        status("a", "new"),
        status("b", "old", refusal, of_another),
        status("c", None, of_another),
    ]
    assert laggards(workers, "default", "new") == [
        "worker b runs version old, and not new: offset 7: it asks too much.",
        "worker c runs no set called default, and not new.",
    ]
