"""Where the health server listens: `host:port`, on loopback where no host is named."""

from typing import Final

LOOPBACK: Final = "127.0.0.1"
LAST_PORT: Final = 65_535


class AddressError(RuntimeError):
    """An address that cannot be listened on; the text is a sentence with the mend."""


def split_address(address: str) -> tuple[str, int]:
    """Take an address apart.

    Args:
        address: Such as ``127.0.0.1:9478``, ``[::1]:9478``, ``:9478`` or ``9478``.

    Returns:
        The host, which is loopback where none is named, and the port.

    Raises:
        AddressError: It is no address.
    """
    host, _, port = address.rpartition(":")
    if not (port.isascii() and port.isdecimal()) or int(port) > LAST_PORT:
        raise AddressError(
            f"http.address is {address!r}: expected host:port with a port of at most {LAST_PORT}, "
            f"such as {LOOPBACK}:9478."
        )
    return host.removeprefix("[").removesuffix("]") or LOOPBACK, int(port)


def join_address(host: str, port: int) -> str:
    """Put an address together; an IPv6 host gets its brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def nth_address(address: str, index: int) -> str:
    """Tell the address of one of several workers that run side by side.

    Args:
        address: The first one's.
        index: Of the worker, from 0.

    Returns:
        The same host with the port that is so many on; port 0, any that is free, stays.

    Raises:
        AddressError: It is no address, or there are no such ports.
    """
    host, port = split_address(address)
    if port and port + index > LAST_PORT:
        raise AddressError(
            f"http.address is {address!r}, and worker {index} would need port {port + index}: "
            "set it to a lower port."
        )
    return join_address(host, port + index if port else 0)
