"""The name by which a worker is known to its group: the same after a restart, another for each worker of a host.

The broker gives a static member that comes back its partitions at once, instead of after the session timeout.
"""

import contextlib
import fcntl
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TextIO

from stream_app.edges.snapshots import state_folder
from stream_app.errors import StateError

SLOTS = 1000


@contextlib.contextmanager
def instance(name: str, environ: Mapping[str, str]) -> Iterator[str]:
    """HOSTNAME-N with the first N that no other worker of this monitor on this host holds.

    Held by a lock that the kernel releases when the process dies. StateError where no lock can be made.
    """
    file, number = _locked(state_folder(environ) / "workers", name)
    with file:
        yield f"{socket.gethostname()}-{number}"


def _locked(folder: Path, name: str) -> tuple[TextIO, int]:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in range(SLOTS):
            file = (folder / f"{name}-{number}.lock").open("w")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
            else:
                return file, number
    except OSError as error:
        raise StateError(f"cannot lock a file in {folder} ({error.strerror}): name the worker by --instance") from error
    raise StateError(f"{SLOTS} workers of {name} run on this host: stop some, or name this one by --instance")
