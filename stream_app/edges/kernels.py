"""Compiled kernels on disk: where numba keeps them, and that none is older than what it was compiled from.

numba looks at the file in which a kernel stands. What a kernel takes from other files is compiled into it, so after an
upgrade it would silently go on with the old. So those of a file are forgotten once the file or one that it takes
something from is another.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

import detectors
from stream_app.errors import StateError

PACKAGE = Path(__file__).absolute().parent.parent
ROOTS = {"stream_app": PACKAGE, "detectors": Path(detectors.__file__).absolute().parent}
IMPORTED = re.compile(r"^from ([\w.]+) import", re.MULTILINE)
MARK = "@njit"


def folder(environ: Mapping[str, str]) -> Path:
    """Where kernels are kept, chosen as numba does: the first that can be written; StateError if there is none."""
    caches = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    given = environ.get("NUMBA_CACHE_DIR")
    places = [*([Path(given)] if given else []), PACKAGE / "__pycache__", caches / "numba"]
    for place in places:
        with contextlib.suppress(OSError):
            place.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=place).close()
            return place
    tried = ", ".join(map(str, places))
    raise StateError(f"compiled kernels can be kept nowhere: set NUMBA_CACHE_DIR to a folder to write to (not {tried})")


def renew(environ: Mapping[str, str]) -> None:
    """Forgets what was compiled from other sources; before the first kernel is called."""
    place, now = folder(environ), _digests()
    stamp = place / f"driftline-{hashlib.sha256(str(PACKAGE).encode()).hexdigest()[:16]}.json"
    if _read(stamp) == now:
        return
    with alone(place):
        before = _read(stamp)
        for name, digest in now.items():
            if before.get(name) != digest:
                for index in _kept(place, Path(name)):
                    index.unlink(missing_ok=True)
        stamp.write_bytes(msgspec.json.encode(now))


@contextlib.contextmanager
def alone(place: Path, waits: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Only one process at a time for one cache; `waits` is called if another is there.

    What is locked is the folder itself: nothing is made that would have to be taken away.
    """
    descriptor = os.open(place, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems lock no folders: then each is for itself
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waits()
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _digests() -> dict[str, str]:
    """Of each file with kernels, together with the files that it takes something from."""
    texts = {file: file.read_text() for root in ROOTS.values() for file in root.rglob("*.py")}
    found = {}
    for file, text in texts.items():
        if MARK in text:
            used = "".join(hashlib.sha256(texts[each].encode()).hexdigest() for each in sorted(_used(file, texts)))
            found[str(file)] = hashlib.sha256(used.encode()).hexdigest()
    return found


def _used(file: Path, texts: Mapping[Path, str]) -> set[Path]:
    """The file, those that it imports from, and where these have kernels those that they import from."""
    found: set[Path] = set()
    left = [file]
    while left:
        at = left.pop()
        if at in texts and at not in found:
            found.add(at)
            left += [_file(module) for module in IMPORTED.findall(texts[at])] if MARK in texts[at] else []
    return found


def _file(module: str) -> Path:
    package, *names = module.split(".")
    place = ROOTS.get(package, Path()).joinpath(*names)
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def _read(stamp: Path) -> dict[str, str]:
    try:
        return msgspec.json.decode(stamp.read_bytes(), type=dict[str, str])
    except (FileNotFoundError, msgspec.DecodeError):  # none, or one that was cut off
        return {}


def _kept(place: Path, file: Path) -> Iterator[Path]:
    """The indexes of a file's kernels, where numba keeps them: beside it, or in a part of the cache for its folder."""
    source = file.parent
    part = f"{source.name}_{hashlib.sha1(str(source).encode(), usedforsecurity=False).hexdigest()}"
    beside = place == PACKAGE / "__pycache__"
    return (source / "__pycache__" if beside else place / part).glob(f"{file.stem}.*.nbi")
