"""The group of commands: late imports, exit codes, errors as sentences."""

import importlib
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from streamsampler import __version__
from streamsampler.cli import (
    COMMANDS,
    FAILED,
    INTERRUPTED,
    NAMED_ERRORS,
    REFUSED,
    Commands,
    Listing,
    exit_code,
    main,
)


def test_help_lists_each_command_with_a_line() -> None:
    result = CliRunner().invoke(main, ["--help"])

    assert result.exit_code == 0
    lines = [line.split(maxsplit=1) for line in result.output.split("Commands:")[1].splitlines()]
    assert [line for line in lines if line] == [[name, it.line] for name, it in COMMANDS.items()]


def test_the_version_is_the_package_s() -> None:
    assert CliRunner().invoke(main, ["--version"]).output == f"streamsampler {__version__}\n"


def test_help_and_version_import_no_command_and_nothing_heavy() -> None:
    script = (
        "import sys; from streamsampler.cli import main\n"
        "for words in ['--help'], ['--version']: main(words, standalone_mode=False)\n"
        "heavy = {'numpy', 'numba', 'rich', 'yaml', 'pydantic', 'confluent_kafka', 'jinja2'}\n"
        "ours = {name for name in sys.modules if name.startswith('streamsampler')}\n"
        "sys.exit(str(heavy & set(sys.modules) | ours - {'streamsampler', 'streamsampler.cli'}))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )
    assert ended.stderr.strip() == "set()"


@pytest.mark.parametrize("name", COMMANDS)
def test_each_listed_command_is_there_and_its_own_help_begins_alike(name: str) -> None:
    command = main.get_command(click.Context(main), name)

    assert command is not None
    assert command.name == name
    assert CliRunner().invoke(main, [name, "--help"]).exit_code == 0


@pytest.mark.parametrize("words", [["sample"], ["--frobnicate"], ["generate", "--frobnicate"]])
def test_bad_usage_exits_with_2_and_says_what_is_wrong(words: list[str]) -> None:
    result = CliRunner().invoke(main, words)
    assert result.exit_code == REFUSED
    assert words[-1] in result.stderr


@pytest.mark.parametrize("place", NAMED_ERRORS)
def test_each_named_error_is_a_class_at_its_place(place: str) -> None:
    module, _, name = place.rpartition(".")
    error = getattr(importlib.import_module(module), name)
    assert issubclass(error, Exception)
    assert error.__module__ == module  # it is told by that, and not by where it is passed on


def group_that_raises(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> Commands:
    class Group(Commands):
        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:  # noqa: ARG002
            def fail() -> None:
                raise error

            return click.Command(cmd_name, callback=fail)

    monkeypatch.setitem(COMMANDS, "fail", Listing("", "", "Fails."))
    return Group("streamsampler")


class ConfigError(ValueError):
    __module__ = "streamsampler.config.loading"


class StricterConfigError(ConfigError):
    __module__ = "elsewhere"


@pytest.mark.parametrize("kind", [ConfigError, StricterConfigError])
def test_a_named_error_is_a_sentence_on_standard_error(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    error = kind("config.yaml:3:5: kafka: expected librdkafka's properties, got a list.")

    result = CliRunner().invoke(group_that_raises(error, monkeypatch), ["fail"])

    assert result.exit_code == REFUSED
    assert result.stderr == f"Error: {error}\n"
    assert result.stdout == ""


def test_an_error_without_a_name_is_a_bug_and_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result = CliRunner().invoke(group_that_raises(KeyError("x"), monkeypatch), ["fail"])
    assert isinstance(result.exception, KeyError)
    assert exit_code(KeyError("x")) is None


def test_ctrl_c_exits_with_130_and_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    result = CliRunner().invoke(group_that_raises(KeyboardInterrupt(), monkeypatch), ["fail"])

    assert result.exit_code == INTERRUPTED
    assert result.stderr == "Interrupted.\n"


def test_a_command_s_own_exit_code_goes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    group = group_that_raises(click.exceptions.Exit(FAILED), monkeypatch)
    assert CliRunner().invoke(group, ["fail"]).exit_code == FAILED
