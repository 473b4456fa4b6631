"""The log: whole commits only, one writer, any number of readers, the same answers however it was cut."""

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
from waiting import TIMEOUT_S

from stream_app.edges.log import Log
from stream_app.errors import StateError
from stream_app.messages import Message, Outcomes, Outputs, Predictions
from stream_app.texts import Coded, Texts

ROOT = Path(__file__).parent.parent


def outputs(first: int, rows: int, version: str = "champion-1") -> Outputs:
    """Make the outputs for the events first … first + rows, the same whatever the cut."""
    offset = np.arange(first, first + rows)
    ids = Texts.of(f"flight-{i}" for i in offset)
    score = np.where(offset % 7 == 0, np.nan, offset / 1e6)
    code = np.where(offset % 7 == 0, -1, offset % 2).astype(np.int32)
    messages = []
    for i in offset.tolist():
        key = f"carrier/{i % 3}"
        value = msgspec.json.encode({"by": "carrier", "key": str(i % 3), "values": {"n": i}})
        messages.append(Message("features", f"features-0-{i}", key, i, value))
        messages.append(Message("metrics", f"metrics-0-{i}", "error", i, b'{"n":%d}' % i))
        if i % 5 == 0:
            messages.append(Message("dead-letters", f"dead-letters-0-{i}", f"flight-{i}", i, b'{"reason":"late"}'))
    return Outputs(
        [Predictions(version, ("no", "yes"), offset, ids, offset * 1000, code, score)],
        [Outcomes(offset, ids, offset * 1000 + 7, Coded.of(["yes"] * rows), offset * 0 + 7, score)],
        messages,
    )


def fill(path: Path, cuts: list[int], **options: str) -> None:
    with Log(path, write=True) as log:
        for first, stop in pairwise(cuts):
            log.commit(outputs(first, stop - first, **options), {"events": stop}, b"\0" * (stop - first), b"s", {})


def run(script: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a second process that knows `Log` and this file's `outputs`."""
    head = f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'tests')!r}]\n"
    head += "from test_log import Log, StateError, outputs\n"
    command = [sys.executable, "-c", head + textwrap.dedent(script), *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "flights.db"


# What goes in comes out


def test_an_empty_log_holds_nothing(path: Path) -> None:
    with Log(path, write=True) as log:
        assert log.load() is None
        assert log.digest() == {}
        assert list(log.read("predictions")) == list(log.read("alerts")) == list(log.interleaving()) == []
        assert log.count("predictions") == log.count("features") == log.count("alerts") == 0
        assert log.controls(0) == []
        assert log.find("flight-1") == {"predictions": [], "outcomes": [], "dead_letters": []}


def test_load_gives_the_newest_commit(path: Path) -> None:
    with Log(path, write=True) as log:
        log.commit(Outputs(), {"events": 1}, b"\0", b"one", {"config": "a"})
        log.commit(Outputs(), {"events": 2, "labels": 1}, b"\0\1", b"two\0", {"config": "b"})

    with Log(path) as log:
        saved = log.load()

    assert saved is not None
    assert (saved.header, saved.position, saved.state, saved.seq) == (
        {"config": "b"},
        {"events": 2, "labels": 1},
        b"two\0",
        2,
    )


def test_every_stream_reads_back_in_order(path: Path) -> None:
    fill(path, [0, 10, 25])
    expected = outputs(0, 25)

    with Log(path) as log:
        predictions, outcomes, metrics = (list(log.read(name)) for name in ("predictions", "outcomes", "metrics"))

    assert [record.value for record in predictions] == list(expected.predictions[0].values())
    assert [record.value for record in outcomes] == list(expected.outcomes[0].values())
    assert [record.value for record in metrics] == [m.value for m in expected.messages if m.stream == "metrics"]
    assert predictions[7][:4] == (8, "predictions-0-7", "flight-7", 7000)
    assert outcomes[7][:4] == (8, "outcomes-0-7", "flight-7", 7007)
    assert metrics[7][1:4] == ("metrics-0-7", "error", 7)


@pytest.mark.parametrize("stream", ["predictions", "outcomes", "metrics", "dead-letters", "features"])
def test_reading_goes_on_after_any_record(path: Path, stream: str) -> None:
    fill(path, [0, 1500, 1501, 3000, 3100])

    with Log(path) as log:
        records = list(log.read(stream))
        assert [record.seq for record in records] == sorted({record.seq for record in records})
        for n in [0, 1, 2, 1499, 1500, 1501, 2999, 3000, 3099, 3100]:
            if n < len(records):
                assert list(log.read(stream, after=records[n].seq)) == records[n + 1 :]


def test_small_commits_share_a_block_and_keep_their_numbers(path: Path) -> None:
    fill(path, [*range(100)])

    with Log(path) as log, sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM blocks").fetchone() == (2,)  # predictions, outcomes
        assert [record.seq for record in log.read("predictions", after=40)] == list(range(41, 100))


def test_models_of_one_commit_stay_apart(path: Path) -> None:
    with Log(path, write=True) as log:
        parts = [outputs(0, 3, "one").predictions[0], outputs(3, 3, "two").predictions[0]]
        log.commit(Outputs(parts), {}, b"\0" * 6, b"", {})

        found = [msgspec.json.decode(record.value)["model"] for record in log.read("predictions")]

    assert found == ["one"] * 3 + ["two"] * 3


def test_features_are_the_newest_per_key(path: Path) -> None:
    fill(path, [0, 10, 20])

    with Log(path) as log:
        assert log.count("features") == 3
        assert [value["values"]["n"] for value in log.features()] == [18, 19, 17]
        assert [value["values"]["n"] for value in log.features(by="carrier", key="1")] == [19]
        assert list(log.features(by="origin")) == []
        assert [record.key for record in log.read("features")] == ["carrier/2", "carrier/0", "carrier/1"]


def test_find_tells_all_about_one_event(path: Path) -> None:
    fill(path, [0, 2000, 2001, 4000])

    with Log(path) as log:
        found = log.find("flight-2000")
        assert log.find("flight-4000") == {"predictions": [], "outcomes": [], "dead_letters": []}

    assert [p["offset"] for p in found["predictions"]] == [2000]
    assert found["outcomes"][0] | {"error": 0} == {
        "id": "flight-2000",
        "label": "yes",
        "error": 0,
        "time": 2_000_007,
        "delay_ms": 7,
        "offset": 2000,
    }
    assert found["dead_letters"] == [{"reason": "late"}]


def test_find_gives_repeats_of_an_id_all(path: Path) -> None:
    with Log(path, write=True) as log:
        for _ in range(3):
            log.commit(outputs(0, 1100), {}, b"", b"", {})

        assert len(log.find("flight-5")["predictions"]) == 3


def test_interleaving_is_kept_for_replay(path: Path) -> None:
    rng = np.random.default_rng(1)
    orders = [rng.integers(0, 3, rows).astype(np.uint8) for rows in (5, 0, 1, 4000)]
    with Log(path, write=True) as log:
        for order in orders:
            log.commit(Outputs(), {}, order.tobytes(), b"", {})

        assert [order.tolist() for order in log.interleaving()] == [order.tolist() for order in orders]


def test_digest_does_not_depend_on_the_cuts(path: Path, tmp_path: Path) -> None:
    digests = []
    for name, cuts in {"whole": [0, 2500], "ones": [*range(60), 2500], "odd": [0, 3, 1200, 1201, 2500]}.items():
        fill(tmp_path / name, cuts)
        with Log(tmp_path / name) as log:
            digests.append(log.digest())
    fill(path, [0, 2500], version="champion-2")
    with Log(path) as log:
        other = log.digest()

    assert digests[0] == digests[1] == digests[2]
    assert set(digests[0]) == {"predictions", "outcomes", "metrics", "dead-letters", "features"}
    assert {stream for stream in other if other[stream] != digests[0][stream]} == {"predictions"}


def test_digest_tells_where_a_record_ends(tmp_path: Path) -> None:
    found = []
    for name, messages in {"a": [("x", "yz")], "b": [("xy", "z")]}.items():
        with Log(tmp_path / name, write=True) as log:
            log.commit(Outputs(messages=[Message("s", i, k, 0, b"") for i, k in messages]), {}, b"", b"", {})
            found.append(log.digest())

    assert found[0] != found[1]


# More than one process


def test_a_second_writer_is_told_who_holds_the_log(path: Path) -> None:
    script = """
        with Log(sys.argv[1], write=True):
            print("open", flush=True)
            sys.stdin.read()
    """
    with run(script, path) as other:
        assert other.stdout.readline() == "open\n"
        with pytest.raises(StateError, match=f"being written by process {other.pid}.*stop it"):
            Log(path, write=True)
        other.kill()
        other.wait(TIMEOUT_S)

    Log(path, write=True).close()


def test_a_symbolic_link_is_the_same_log(path: Path, tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(path)

    with Log(path, write=True), pytest.raises(StateError, match=f"process {os.getpid()}"):
        Log(tmp_path / "link.db", write=True)


def test_control_is_sent_past_the_writer(path: Path) -> None:
    with Log(path, write=True) as writer, Log(path) as reader:
        assert reader.send_control(b'{"do":"reset"}') == 1
        writer.commit(outputs(0, 5), {}, b"", b"", {})
        assert writer.send_control(b'{"do":"promote"}') == 2

        assert writer.controls(0) == [b'{"do":"reset"}', b'{"do":"promote"}']
        assert reader.controls(1) == [b'{"do":"promote"}']


def test_controls_of_many_processes_are_all_kept(path: Path) -> None:
    script = """
        with Log(sys.argv[1]) as log:
            for i in range(20):
                log.send_control(b"%s %d" % (sys.argv[2].encode(), i))
    """
    with Log(path, write=True) as writer:
        others = [run(script, path, name) for name in "ab"]
        commits = 0
        while any(other.poll() is None for other in others):
            writer.commit(outputs(10 * commits, 10), {}, b"", b"", {})
            commits += 1
        for other in others:
            other.communicate(timeout=TIMEOUT_S)
            assert other.returncode == 0

        assert sorted(writer.controls(0)) == sorted(b"%s %d" % (n, i) for n in (b"a", b"b") for i in range(20))
        assert writer.count("predictions") == 10 * commits


def test_a_reader_follows_while_the_writer_writes(path: Path) -> None:
    script = """
        with Log(sys.argv[1], write=True) as log:
            for i in range(150):
                log.commit(outputs(30 * i, 30), {"events": 30 * (i + 1)}, b"", b"", {})
                print(i, flush=True)
    """
    with run(script, path) as other:
        assert other.stdout.readline() == "0\n"
        seen: dict[str, list] = {"predictions": [], "metrics": []}
        with Log(path) as log:
            while len(seen["metrics"]) < 4500 or len(seen["predictions"]) < 4500:
                for stream, records in seen.items():
                    records.extend(log.read(stream, after=records[-1].seq if records else 0))
                assert log.load().position["events"] >= len(seen["predictions"]) or other.poll() is None
            assert {stream: list(log.read(stream)) for stream in seen} == seen
        assert other.wait(TIMEOUT_S) == 0


@pytest.mark.parametrize("kill_after", [0.0, 0.011, 0.023, 0.037, 0.05])
def test_kill_9_leaves_whole_commits_only(path: Path, kill_after: float) -> None:
    script = """
        with Log(sys.argv[1], write=True) as log:
            i = 0
            while True:
                rows = 1 + 37 * i % 400
                log.commit(outputs(i, rows), {"first": i, "stop": i + rows}, bytes(rows), bytes(50_000), {})
                print(i + rows, flush=True)
                i += rows
    """
    with run(script, path) as other:
        reported = [int(other.stdout.readline()) for _ in range(3)][-1]
        until = time.monotonic() + kill_after
        while time.monotonic() < until:
            reported = int(other.stdout.readline())
        other.send_signal(signal.SIGKILL)
        other.wait(TIMEOUT_S)

    with Log(path, write=True) as log:
        stop = log.load().position["stop"]
        assert stop >= reported
        assert log.count("predictions") == log.count("outcomes") == log.count("metrics") == stop
        assert sum(map(len, log.interleaving())) == stop
        log.commit(outputs(stop, 10), {}, b"", b"", {})
        killed = log.digest()
    fill(path.with_name("whole.db"), [0, stop + 10])
    with Log(path.with_name("whole.db")) as log:
        assert log.digest() == killed


def test_the_write_ahead_log_stays_bounded(path: Path) -> None:
    with Log(path, write=True) as log, Log(path) as reader:
        slow = reader.read("metrics")
        for i in range(60):
            log.commit(outputs(i * 10, 10), {}, b"", bytes(1_000_000), {})
            next(slow)  # a reader in the middle of its reading

        assert Path(f"{path}-wal").stat().st_size < 40 << 20


# What can go wrong


def test_a_reader_before_the_first_run_is_told_so(path: Path) -> None:
    with pytest.raises(StateError, match=r"no log yet at .*flights.db; run `driftline run CONFIG` first"):
        Log(path)
    assert not path.exists()

    path.touch()  # the moment between creation and the first table
    with pytest.raises(StateError, match="no log yet"):
        Log(path)


@pytest.mark.parametrize("write", [True, False])
def test_a_file_that_is_no_database_is_left_alone(path: Path, write: bool) -> None:
    path.write_bytes(b"id,time\n1,2\n" * 1000)

    with pytest.raises(StateError, match="not a driftline log: give --state another file"):
        Log(path, write=write)
    assert path.read_bytes() == b"id,time\n1,2\n" * 1000
    assert [file.name for file in path.parent.iterdir()] == ["flights.db"]


@pytest.mark.parametrize("write", [True, False])
def test_a_database_of_another_program_is_left_alone(path: Path, write: bool) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE bookmarks (url)")
    before = path.read_bytes()

    with pytest.raises(StateError, match="another program"):
        Log(path, write=write)
    assert path.read_bytes() == before


@pytest.mark.parametrize("write", [True, False])
def test_a_newer_format_is_refused(path: Path, write: bool) -> None:
    fill(path, [0, 5])
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 3")

    with pytest.raises(StateError, match=r"another version of driftline \(format 3, this one has 2\)"):
        Log(path, write=write)


def test_a_damaged_file_says_so(path: Path) -> None:
    fill(path, [0, 3000])
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    path.write_bytes(data)

    with Log(path) as log, pytest.raises(StateError, match=r"is damaged .*restore a copy, or move it"):
        log.load()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE blocks SET data = CAST(substr(data, 1, 100) || x'ff' || substr(data, 102) AS BLOB)",
        "UPDATE blocks SET data = x''",
    ],
)
def test_a_damaged_block_is_never_opened(path: Path, statement: str) -> None:
    fill(path, [0, 3000])
    with sqlite3.connect(path) as db:
        db.execute(statement)

    with Log(path) as log:
        for read in (lambda: list(log.read("predictions")), lambda: log.find("flight-7"), log.digest):
            with pytest.raises(StateError, match="does not match its checksum"):
                read()


def test_damaged_rows_say_so(path: Path) -> None:
    fill(path, [0, 5])
    with sqlite3.connect(path) as db:
        db.execute("UPDATE state SET position = x'7b'")
        db.execute("UPDATE commits SET interleaving = x'00'")
        db.execute("UPDATE messages SET id = CAST(x'ff' AS TEXT)")

    with Log(path) as log:
        for read in (log.load, lambda: list(log.interleaving()), lambda: list(log.read("metrics"))):
            with pytest.raises(StateError, match="is damaged"):
                read()


def test_a_folder_and_a_missing_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="is a folder"):
        Log(tmp_path, write=True)
    with pytest.raises(StateError, match="check that its folder exists"):
        Log(tmp_path / "none" / "flights.db", write=True)


def test_a_full_disk_loses_nothing(path: Path) -> None:
    with Log(path, write=True) as log:
        log.commit(outputs(0, 100), {"events": 100}, b"", b"state", {})
        ((pages,),) = log._file.rows("PRAGMA page_count")
        log._file.rows(f"PRAGMA max_page_count = {pages + 20}")
        with pytest.raises(StateError, match=r"disk full.*nothing is lost, the last commit stands: free some space"):
            log.commit(outputs(100, 5000), {"events": 5100}, b"", bytes(10**6), {})

        assert log.load().position == {"events": 100}
        assert log.count("predictions") == log.count("metrics") == 100

        log._file.rows("PRAGMA max_page_count = 1000000")
        log.commit(outputs(100, 5000), {"events": 5100}, b"", bytes(10**6), {})
        assert log.count("predictions") == log.count("metrics") == 5100


@pytest.fixture
def small_disk(tmp_path: Path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True, check=False
    ).returncode:
        pytest.skip("mounting a tmpfs is not allowed here")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_really_full_disk_loses_nothing(small_disk: Path) -> None:
    path = small_disk / "flights.db"
    done, problem = 0, ""
    with Log(path, write=True) as log:
        while not problem:
            try:
                log.commit(outputs(done, 500), {"events": done + 500}, b"", b"", {})
                done += 500
            except StateError as error:
                problem = str(error)

    assert problem.startswith("disk full: could not write to")
    with Log(path) as log:
        assert done > 0
        assert log.load().position == {"events": done}
        assert log.count("predictions") == log.count("metrics") == done


def test_a_disk_that_is_full_from_the_start_is_named(small_disk: Path) -> None:
    with (small_disk / "ballast").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1 << 16))

    with pytest.raises(StateError, match="disk full"):
        Log(small_disk / "flights.db", write=True)
