"""What ends a run from outside: signals, and memory that is not there."""

import contextlib
import signal
import threading

import jax


@contextlib.contextmanager
def interruptible():
    """Ctrl-C and SIGTERM set a flag, so that a step is never cut in two while its buffers are being reused."""
    asked = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(signum, frame):
        asked.append(signum)
        signal.signal(signum, previous[signum])

    for number in previous:
        signal.signal(number, ask)
    try:
        yield lambda: max(asked, default=0)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def explain_out_of_memory(batch_size: int):
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" in str(error):
            error.add_note(
                f"out of memory with batch_size={batch_size}: try {max(1, batch_size // 2)}, or shorter series"
            )
        raise
