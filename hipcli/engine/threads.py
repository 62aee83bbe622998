"""How threads wait for each other. Imports nothing heavy: what is set here is read when torch is imported."""

import os


def wait_without_spinning() -> None:
    """Let threads that wait for others sleep, unless the user says otherwise. To be called before torch is imported.

    Threads that wait by spinning take the processor from those they wait for as soon as anything else runs: with two
    other processes on two cores that cost nine tenths of the speed of decoding.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
