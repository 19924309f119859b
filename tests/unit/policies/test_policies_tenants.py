"""Numbers of tenants: bounded, never given twice."""

from hypothesis import given
from hypothesis import strategies as st

from streamsampler.policies import NO_TENANT, OVERFLOW, OVERFLOW_NAME, TenantNumbers


def test_a_number_leads_back_to_its_tenant() -> None:
    tenants = TenantNumbers()
    numbers = [tenants.number(name) for name in (b"a", b"b", b"a", b"\xff")]
    assert numbers[0] == numbers[2]
    assert [tenants.name(number) for number in numbers] == [b"a", b"b", b"a", b"\xff"]
    assert max(numbers) == tenants.count - 1


def test_no_name_is_no_tenant() -> None:
    tenants = TenantNumbers()
    assert tenants.number(b"") == NO_TENANT == 0
    assert tenants.name(NO_TENANT) == b""


def test_what_does_not_fit_shares_one_number_and_is_counted() -> None:
    tenants = TenantNumbers(capacity=2)
    fitting = {tenants.number(b"a"), tenants.number(b"b")}
    assert OVERFLOW not in fitting
    assert [tenants.number(name) for name in (b"c", b"d", b"c")] == [OVERFLOW] * 3
    assert tenants.overflowed == 3
    assert tenants.name(OVERFLOW) == OVERFLOW_NAME
    assert tenants.number(b"a") in fitting


def test_a_tenant_that_a_policy_names_always_fits() -> None:
    tenants = TenantNumbers(capacity=0)
    number = tenants.register(b"vip")
    assert number != OVERFLOW
    assert tenants.register(b"vip") == tenants.number(b"vip") == number
    assert tenants.name(number) == b"vip"
    assert tenants.overflowed == 0


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=1))), st.integers(0, 5))
def test_numbers_are_one_to_one(asked: list[tuple[bool, bytes]], capacity: int) -> None:
    tenants = TenantNumbers(capacity)
    given_numbers: dict[bytes, int] = {}
    for listed, name in asked:
        number = tenants.register(name) if listed and name else tenants.number(name)
        if number in (NO_TENANT, OVERFLOW):
            continue
        assert given_numbers.setdefault(name, number) == number
        assert tenants.name(number) == name
    assert len(set(given_numbers.values())) == len(given_numbers)
