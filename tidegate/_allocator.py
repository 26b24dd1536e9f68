"""Imported by the command line before anything else: where Arrow takes its memory from is read once, as it is loaded.

The allocator of the C library gives back what is free (`_memory.Trim`); Arrow's own kept some 50 MB more over 100,000
series. Who sets the variable decides.
"""

import os

os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
