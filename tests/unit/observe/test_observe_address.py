"""Where the health server listens: loopback unless the address says otherwise."""

import pytest

from streamsampler.observe.address import AddressError, nth_address, split_address


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("127.0.0.1:9478", "127.0.0.1", 9478),
        (":9478", "127.0.0.1", 9478),
        ("9478", "127.0.0.1", 9478),
        ("0.0.0.0:80", "0.0.0.0", 80),
        ("localhost:0", "localhost", 0),
        ("[::1]:9478", "::1", 9478),
        ("[::]:65535", "::", 65535),
    ],
)
def test_an_address_is_host_and_port(address: str, host: str, port: int) -> None:
    assert split_address(address) == (host, port)


@pytest.mark.parametrize("address", ["", "localhost", "a:b", "a:-1", "a:65536", "a:", "a:٣"])
def test_what_is_no_address_is_refused_with_an_example(address: str) -> None:
    with pytest.raises(AddressError, match=r"http\.address is .*such as 127\.0\.0\.1:9478\.$"):
        split_address(address)


@pytest.mark.parametrize(
    ("address", "index", "expected"),
    [
        ("127.0.0.1:9478", 0, "127.0.0.1:9478"),
        ("127.0.0.1:9478", 3, "127.0.0.1:9481"),
        ("[::1]:9478", 1, "[::1]:9479"),
        (":9478", 1, "127.0.0.1:9479"),
        ("127.0.0.1:0", 3, "127.0.0.1:0"),
    ],
)
def test_each_of_several_workers_has_the_next_port(address: str, index: int, expected: str) -> None:
    assert nth_address(address, index) == expected


def test_more_workers_than_ports_are_refused() -> None:
    with pytest.raises(AddressError, match="worker 2 would need port 65536"):
        nth_address("127.0.0.1:65534", 2)
