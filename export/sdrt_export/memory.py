"""Memory that is free in the process, and not yet in the system."""

import gc

from sdrt.machine import give_back_freed_blocks


def give_back_memory() -> None:
    """Return freed weights to the system, so that the next network does not come on top."""
    gc.collect()
    give_back_freed_blocks()
