"""Kafka's jars from Maven into a cache, and the programs that a broker needs."""

import fcntl
import os
import re
import shutil
import subprocess
from pathlib import Path

KAFKA = "4.1.1"  # as in pom.xml
JAVA, MAVEN, OPENSSL = ("java", "openjdk-17-jre-headless"), ("mvn", "maven"), ("openssl", "openssl")
JAVA_MIN = 17  # what Kafka 4 runs on


def artifacts() -> Path:
    """The folder with Kafka's jars, fetched through Maven at first use; RuntimeError naming what must be installed."""
    check_java()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "driftline"
    jars = cache / f"kafka-{KAFKA}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"kafka-{KAFKA}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not jars.exists():
            part = cache / f"kafka-{KAFKA}.part"
            shutil.rmtree(part, ignore_errors=True)  # of a download that was interrupted
            fetch(part)
            part.rename(jars)
    return jars


def fetch(folder: Path) -> None:
    maven = found(*MAVEN)
    pom = Path(__file__).with_name("pom.xml")
    goal = ("dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}")
    run([maven, "--quiet", "--batch-mode", "--file", str(pom), *goal], "Kafka could not be fetched through Maven")


def check_java() -> None:
    version = subprocess.run([found(*JAVA), "-version"], check=False, capture_output=True, text=True)
    major = re.search(r'version "(\d+)', version.stderr + version.stdout)
    if major is None or int(major[1]) < JAVA_MIN:
        said = (version.stderr + version.stdout).strip()
        raise RuntimeError(f"Kafka needs Java {JAVA_MIN} or newer: install {JAVA[1]}; found:\n{said}")


def found(program: str, package: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise RuntimeError(f"a broker needs {program}, which is not on the PATH: install {package} (name in Debian)")
    return path


def run(command: list[str], problem: str) -> None:
    """Runs a command to its end; RuntimeError with the end of what it said if it fails."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        said = f"{done.stdout}{done.stderr}"[-4000:].strip()
        raise RuntimeError(f"{problem}: {Path(command[0]).name} ended with exit code {done.returncode}:\n{said}")
