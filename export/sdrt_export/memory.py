"""Memory that is free in the process, and not yet in the system."""

import ctypes
import gc


def give_back_memory() -> None:
    """Return freed weights to the system, so that the next network does not come on top."""
    gc.collect()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
