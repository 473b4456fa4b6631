"""Names of workers: the first free one of a host, free again when its holder ends."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import TIMEOUT_S

from stream_app.edges.instance import instance
from stream_app.errors import StateError

HOLDER = """
import os, sys
from stream_app.edges.instance import instance
with instance("m", os.environ) as name:
    print(name, flush=True)
    sys.stdin.read()
"""


def place(tmp_path: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(tmp_path)}


def test_two_workers_of_a_host_have_two_names(tmp_path: Path) -> None:
    host = socket.gethostname()
    with instance("m", place(tmp_path)) as first, instance("m", place(tmp_path)) as second:
        assert (first, second) == (f"{host}-0", f"{host}-1")


def test_another_monitor_counts_from_the_start(tmp_path: Path) -> None:
    with instance("m", place(tmp_path)), instance("n", place(tmp_path)) as other:
        assert other == f"{socket.gethostname()}-0"


def test_the_first_free_name_is_taken(tmp_path: Path) -> None:
    with instance("m", place(tmp_path)) as first, instance("m", place(tmp_path)):
        pass
    with instance("m", place(tmp_path)) as again:
        assert again == first


def test_a_killed_worker_leaves_its_name(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=place(tmp_path), stdin=pipe, stdout=pipe, text=True) as process:
        held = process.stdout.readline().strip()  # type: ignore[union-attr]
        with instance("m", place(tmp_path)) as other:
            assert other != held
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=TIMEOUT_S)
    with instance("m", place(tmp_path)) as mine:
        assert mine == held


def test_what_is_raised_inside_comes_out_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError), instance("m", place(tmp_path)):
        raise BrokenPipeError


def test_a_folder_that_cannot_be_is_said_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "driftline").write_text("a file")
    with pytest.raises(StateError, match="--instance"), instance("m", place(tmp_path)):
        pass
