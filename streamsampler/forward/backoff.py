"""How long to wait before a request is sent again."""

from typing import Final

MOST_DOUBLINGS: Final = 30


def delay_ms(attempt: int, chance: float, least_ms: int, most_ms: int, told_ms: int | None) -> int:
    """Choose a delay: exponential, with full jitter, and not before the endpoint wants it.

    Args:
        attempt: How often it has failed before, from 0.
        chance: 0 to 1, drawn anew each time.
        least_ms: What the first delay is drawn up to.
        most_ms: What no delay is drawn beyond.
        told_ms: How long the endpoint wants to be left alone; None: it did not say.

    Returns:
        ms.
    """
    bound = min(most_ms, least_ms << min(attempt, MOST_DOUBLINGS))
    return max(round(chance * bound), told_ms or 0)
