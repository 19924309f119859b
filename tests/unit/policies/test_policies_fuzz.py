"""Any bytes give a set or a clear error, and soon: the topic may hold anything."""

import json
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamsampler.kafka.policy_in_force import checked_policy_set
from streamsampler.policies import PolicyError
from streamsampler.policies.types import TYPES

MOST_SECONDS = 0.3
"""CPU time, of the best of three; 0.1 on a machine that has nothing else to do."""
SOUND = """
policies:
  - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
  - {name: both, type: and, and: {and_sub_policy: [
      {name: slow, type: latency, latency: {threshold_ms: 500}},
      {name: on, type: ottl_condition, ottl_condition: {span: ['attributes["a"] == "b"']}}]}}
decision_wait: 30s
"""


def read(text: bytes) -> float:
    """Read a set, sound or not; tell how long it took, s of CPU time."""
    took = []
    for _ in range(3):
        began = time.process_time()
        problems = problems_of(text)
        took.append(time.process_time() - began)
        assert problems is None or problems
        assert all(problem.startswith("fuzz") for problem in problems or ())
    return min(took)


def problems_of(text: bytes) -> tuple[str, ...] | None:
    try:
        checked_policy_set(text, "fuzz")
    except PolicyError as error:
        return error.problems
    return None


@given(st.binary(max_size=300))
@settings(max_examples=150)
def test_any_bytes(text: bytes) -> None:
    assert read(text) < MOST_SECONDS


pieces = st.sampled_from(
    [
        *SOUND.split(),
        *TYPES,
        "{",
        "}",
        "[",
        "]",
        ":",
        "- ",
        "\n",
        "  ",
        "*a",
        "&a",
        "!!binary",
        "|",
        "'",
        '"',
        "<<",
    ]
)


@given(st.lists(st.one_of(pieces, st.text(max_size=3)), max_size=60).map(" ".join))
@example("policies: *a")
@settings(max_examples=150)
def test_words_of_a_set_in_any_order(text: str) -> None:
    assert read(text.encode(errors="surrogatepass")) < MOST_SECONDS


@given(st.integers(0, len(SOUND)), st.integers(0, 40), st.binary(max_size=8))
@settings(max_examples=150)
def test_a_sound_set_with_some_bytes_exchanged(at: int, gone: int, new: bytes) -> None:
    sound = SOUND.encode()
    assert read(sound[:at] + new + sound[at + gone :]) < MOST_SECONDS


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(st.sampled_from(sorted(TYPES)), anything)
@settings(max_examples=200)
def test_anything_as_the_settings_of_any_type(policy_type: str, block: object) -> None:
    document = {"policies": [{"name": "p", "type": policy_type, policy_type: block}]}
    assert read(json.dumps(document).encode()) < MOST_SECONDS


def ottl(conditions: int, parts: int) -> str:
    one = " and ".join(['attributes["a"] == "b"'] * parts)
    said = ", ".join(f"'{one} and name == \"{number}\"'" for number in range(conditions))
    return f"policies: [{{name: p, type: ottl_condition, ottl_condition: {{span: [{said}]}}}}]"


def strings(count: int) -> str:
    values = ", ".join(f"tenant-{number}" for number in range(count))
    settings = f"string_attribute: {{key: k, values: [{values}]}}"
    return f"policies: [{{name: p, type: string_attribute, {settings}}}]"


def nine_times(alias: str, name: str) -> str:
    return f"{name}: &{name} [{', '.join([f'*{alias}'] * 9)}]\n"


@pytest.mark.parametrize(
    "text",
    [
        "[" * 1_000_000,
        "{" * 1_000_000,
        "a: " * 300_000,
        "&a " * 300_000,
        "- " * 500_000,
        "a" * 2_000_000,
        strings(19_000),
        strings(100_000),
        ottl(8, 80),
        ottl(400, 80),
        "policies:\n" + "".join(f"  - {{name: p{n}, type: latncy}}\n" for n in range(4_000)),
        "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(map(nine_times, "abcdef", "bcdefg")),
    ],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_what_is_made_to_take_long(text: str) -> None:
    assert read(text.encode()) < MOST_SECONDS
