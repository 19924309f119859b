"""The Dockerfile keeps the rules that a linter of Dockerfiles would hold it to."""

import re
from typing import NamedTuple

from tests.kafka_cluster import REPOSITORY


class Instruction(NamedTuple):
    """One instruction, its lines joined."""

    name: str
    rest: str


def stages() -> list[list[Instruction]]:
    """The instructions of each stage."""
    text = (REPOSITORY / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    found: list[list[Instruction]] = []
    for line in filter(str.strip, joined.splitlines()):
        name, _, rest = line.strip().partition(" ")
        assert re.fullmatch(r"[A-Z]+", name), line
        if name == "FROM":
            found.append([])
        found[-1].append(Instruction(name, " ".join(rest.split())))
    return found


def of(stage: list[Instruction], name: str) -> list[str]:
    return [one.rest for one in stage if one.name == name]


def test_it_builds_in_one_stage_and_runs_in_another_on_one_slim_base() -> None:
    build, run = (of(stage, "FROM")[0].split(" AS ")[0] for stage in stages())
    assert build == run
    assert re.fullmatch(r"python:\d+\.\d+\.\d+-slim-[a-z]+", run)


def test_what_is_installed_is_locked_by_hashes() -> None:
    build, run = stages()
    (locked,) = [one for one in of(build, "RUN") if one.endswith("requirements-image.lock")]
    assert "--require-hashes" in locked
    # Wheels alone, but for the one package that has none for arm64 and compiles nothing: so there
    # need be no compiler.
    assert "NO_CYTHON=1 pip install --require-hashes --only-binary :all:" in locked
    assert re.findall(r"--no-binary (\S+);", locked) == ["faust-streaming"]
    assert not [one for one in of(run, "RUN") if "pip" in one or "apt" in one]
    lock = (REPOSITORY / "requirements-image.lock").read_text()
    assert not re.search(r"^(pytest|mypy|ruff|hypothesis|hatchling)==", lock, re.MULTILINE)


def test_both_locks_have_the_same_versions() -> None:
    versions = [
        dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (REPOSITORY / name).read_text(), re.MULTILINE))
        for name in ("requirements.lock", "requirements-image.lock")
    ]
    everything, image = versions
    assert image.items() <= everything.items()


def test_it_runs_as_nobody_and_as_the_program_itself() -> None:
    _, run = stages()
    assert of(run, "USER") == ["10001:10001"]
    assert of(run, "ENTRYPOINT") == ['["streamsampler"]']
    order = [one.name for one in run]
    assert order.index("USER") < order.index("ENTRYPOINT")
    assert not of(run, "ADD")


def test_kernels_are_compiled_for_any_cpu_and_found_where_they_are_used() -> None:
    build, run = stages()
    assert any("streamsampler warm-up" in one for one in of(build, "RUN"))
    for stage in (build, run):
        names = dict(pair.split("=", 1) for line in of(stage, "ENV") for pair in line.split())
        assert names["NUMBA_CPU_NAME"] == "generic"
        assert names["NUMBA_CACHE_DIR"] == "/opt/streamsampler/kernels"


def test_what_is_copied_is_let_through() -> None:
    build, _ = stages()
    ignored = (REPOSITORY / ".dockerignore").read_text().splitlines()
    copied = [name for one in of(build, "COPY") for name in one.split()[:-1]]
    assert copied
    for name in copied:
        assert (REPOSITORY / name).exists()
        assert f"!{name}" in ignored


def test_relative_paths_have_a_folder_to_be_in() -> None:
    for stage in stages():
        assert all(folder.startswith("/") for folder in of(stage, "WORKDIR"))
        assert of(stage, "WORKDIR")
        assert not [one for one in of(stage, "RUN") if re.search(r"\bcd |\bsudo\b|latest", one)]


def test_each_package_that_is_installed_is_of_one_version() -> None:
    for stage in stages():
        for one in of(stage, "RUN"):
            for step in re.split(r"&&|;", one):
                _, installs, packages = step.partition("pip install ")
                names = [word for word in packages.split() if not word.startswith("-")]
                locked = "--require-hashes" in packages or "--no-deps /src/dist/" in packages
                assert not installs or locked or all("==" in name for name in names), step


def test_a_failure_within_a_step_fails_the_build() -> None:
    for stage in stages():
        # The shell of a step knows the last program of a pipe only.
        assert not [one for one in of(stage, "RUN") if re.search(r"[^|]\|[^|]", one)]


def test_what_is_started_needs_no_shell() -> None:
    for stage in stages():
        assert all(one.startswith("[") for one in of(stage, "CMD") + of(stage, "ENTRYPOINT"))
        assert len(of(stage, "CMD")) <= 1
        assert len(of(stage, "ENTRYPOINT")) <= 1
