"""A Python environment for programs that this project is measured against."""

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path


def environment(requirements: Path) -> Path:
    """Python of an environment with these requirements, made at first use; CalledProcessError if it cannot be."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "driftline"
    version = f"{sha256(requirements.read_bytes()).hexdigest()[:8]}-{sys.implementation.cache_tag}"
    folder = cache / f"{requirements.stem}-{version}"
    python, done = folder / "bin" / "python", folder / "installed"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "-r", str(requirements)], check=True)
        done.touch()
    return python
