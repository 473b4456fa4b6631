"""Programs that tests need and Python has not: the installed ones, or those of Debian's packages, from a cache."""

import fcntl
import shutil
import subprocess
import tempfile
from pathlib import Path

from waiting import TIMEOUT_S

PACKAGES = {  # of Debian
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
}
FETCH_TIMEOUT_S = 240.0
CACHE = Path.home() / ".cache" / "driftline"


def program(name: str) -> str:
    """Its path; of a program that is not installed the package is unpacked into a cache at first use."""
    installed = shutil.which(name)
    if installed is not None:
        return installed
    package = PACKAGES[name]
    cache = CACHE / package
    cache.parent.mkdir(parents=True, exist_ok=True)
    with cache.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not cache.exists():
            _unpack(package, cache)
    return str(cache / "usr" / "bin" / name)


def checked(name: str, *arguments: str | Path, given: str | None = None) -> str:
    """What a program says, which has to like what it is asked about."""
    words = [program(name), *map(str, arguments)]
    done = subprocess.run(words, input=given, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def _unpack(package: str, cache: Path) -> None:
    assert shutil.which("apt-get"), f"a test needs {package} on the PATH: install it (name in Debian)"
    with tempfile.TemporaryDirectory(dir=cache.parent) as folder:
        for words in (["apt-get", "update"], ["apt-get", "download", package]):
            done = subprocess.run(words, cwd=folder, capture_output=True, timeout=FETCH_TIMEOUT_S, check=False)
        packages = list(Path(folder).glob("*.deb"))
        assert packages, f"install {package} (name in Debian); apt-get said: {done.stderr.decode()}"
        subprocess.run(["dpkg", "-x", packages[0], f"{folder}/unpacked"], check=True, timeout=TIMEOUT_S)
        Path(folder, "unpacked").rename(cache)
