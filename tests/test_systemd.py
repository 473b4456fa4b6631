"""The units for systemd: their commands, what they may do, and what systemd itself says of them."""

import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from waiting import TIMEOUT_S

from stream_app.cli import cli

ROOT = Path(__file__).parent.parent
UNITS = {file.name.split("@")[0]: file for file in sorted((ROOT / "compose" / "systemd").glob("*.service"))}
PROGRAM = "/opt/driftline/bin/driftline"
EXPOSURE_MAX = 2.0  # of 10, as systemd counts what a unit could do; a unit without hardening has 9.6
SAME = ("User", "DynamicUser", "StateDirectory", "WorkingDirectory")  # what lets units of one monitor share its files


def settings(file: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", file.read_text(), re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


@pytest.fixture
def instance(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A unit for the monitor `flights`, with a program that exists."""
    program = tmp_path / "driftline"
    program.write_text("#!/bin/sh\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    unit = tmp_path / f"{request.param}@flights.service"
    unit.write_text(UNITS[request.param].read_text().replace(PROGRAM, str(program)))
    return unit


def test_there_is_a_unit_for_each_way_to_run() -> None:
    assert UNITS.keys() == {"driftline-run", "driftline-worker", "driftline-dashboard"}


@pytest.mark.parametrize("name", UNITS)
def test_its_command_is_one_of_driftline(name: str) -> None:
    (line,) = settings(UNITS[name])["ExecStart"]
    given = dict(word.split("=", 1) for line in settings(UNITS[name])["Environment"] for word in line.split())
    program, command, *arguments = re.sub(r"\$\{(\w+)\}", lambda found: given[found[1]], line).split()

    context = cli.commands[command].make_context(command, arguments)

    assert program == PROGRAM
    assert name == f"driftline-{command}"
    assert str(context.params["config"]) == "/etc/driftline/%i.toml"


@pytest.mark.parametrize("name", UNITS)
def test_it_starts_again_after_a_crash_and_not_after_a_wrong_configuration(name: str) -> None:
    found = settings(UNITS[name])

    assert found["Restart"] == ["on-failure"]
    assert found["RestartPreventExitStatus"] == ["2"]
    assert found["StartLimitIntervalSec"] == ["0"]


def test_units_of_a_monitor_share_its_folder() -> None:
    kept = [{name: settings(file)[name] for name in SAME} for file in UNITS.values()]

    assert all(each == kept[0] for each in kept)


@pytest.mark.parametrize("instance", UNITS, indirect=True)
def test_systemd_itself_accepts_it_and_finds_little_that_it_could_do(instance: Path) -> None:
    """Where it is installed (Debian: systemd)."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("needs systemd-analyze: install systemd (name in Debian)")
    threshold = f"--threshold={int(EXPOSURE_MAX * 10)}"

    verified = run(analyze, "verify", str(instance))
    exposed = run(analyze, "security", "--offline=true", "--no-pager", threshold, str(instance))

    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    assert exposed.returncode == 0, exposed.stdout[-200:]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=TIMEOUT_S)
