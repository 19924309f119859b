"""What hash tables are keyed with, as strangers choose the ids and the values that they hold.

Who knows where the search for a value begins can choose values that all begin at one place, and
each look-up would pass all of them. So it depends on a key that this process draws when it starts,
as Python's own dicts do it for strings. Nothing that comes out depends on it: tables are asked
whether and under which number they hold something, never in which order.
"""

import os
from typing import Final

import numpy as np

from streamsampler.spans.columns import UInt32s

KEY_WORDS: Final = 4
HASH_KEY: Final[UInt32s] = np.frombuffer(os.urandom(4 * KEY_WORDS), np.uint32)
"""uint32[KEY_WORDS]; handed to kernels in their arguments, as a constant would be kept on disk."""
