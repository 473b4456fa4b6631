"""Bad input as a new user meets it: a clear message with what to do, the right exit code, and nothing lost."""

import base64
import gzip
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from command import DRIFTLINE, ROOT, csv_text, driftline, records, write_config
from waiting import TIMEOUT_S

from stream_app.edges.log import Log

ROWS = 300
HEADER = "id,time,x,z,c,y\n"
PHOTO = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\n\xff\xdb" + bytes(range(256)) * 4


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The digest of an undisturbed run over the good records."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "good.csv").write_text(csv_text(records(ROWS)))
    return digest_of_run(folder, "good.csv")


def digest_of_run(folder: Path, events: str) -> dict[str, str]:
    done = driftline(folder, "run", write_config(folder, events))
    assert done.returncode == 0, done.stderr
    with Log(folder / "small.db") as log:
        return log.digest()


def run_json(folder: Path, events: str) -> dict[str, Any]:
    """The summary of a run that ends well."""
    done = driftline(folder, "run", write_config(folder, events), "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def dead_letters(folder: Path) -> dict[int, dict[str, Any]]:
    """Offset → dead letter, its raw bytes decoded."""
    with Log(folder / "small.db") as log:
        letters = [json.loads(record.value) for record in log.read("dead-letters")]
    for letter in letters:
        encoded = letter.get("raw_base64")
        letter["raw"] = letter["raw"].encode() if encoded is None else base64.b64decode(encoded)
    return {letter["offset"]: letter for letter in letters}


# What cannot be read at all: exit 2, the file named, nothing begun


def directory(path: Path) -> None:
    path.mkdir()


def bytes_of(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


UNREADABLE = {
    "an empty file": ("empty.csv", bytes_of(b""), "is empty: no header"),
    "an empty file of JSON lines": ("empty.jsonl", bytes_of(b""), "is empty: not one record"),
    "binary junk": ("junk.csv", bytes_of(random.Random(1).randbytes(4000)), "does not look like CSV"),
    "a photo": ("photo.jpg", bytes_of(PHOTO), "it is a binary file"),
    "a workbook": ("book.xlsx", bytes_of(b"PK\x03\x04\x14\x00" + PHOTO), "is a zip archive, perhaps a workbook"),
    "an odd delimiter": ("colon.csv", bytes_of(csv_text(records(9), ":").encode()), "set source.delimiter"),
    "a column twice": ("twice.csv", bytes_of(b"id,time,x,x,y\n1,2,3,4,1\n"), "more than one column is named x"),
    "latin-1 in the header": ("latin.csv", bytes_of("größe,x\n1,2\n".encode("latin-1")), "latin-1 perhaps"),
    "one JSON array": ("array.json", bytes_of(b'[{"x": 1},\n {"x": 2}]\n'), "jq -c '.[]' array.json"),
    "JSON over several lines": ("pretty.json", bytes_of(b'{\n  "x": 1\n}\n'), "jq -c . pretty.json"),
    "half a Parquet file": ("half.parquet", bytes_of(b"PAR1" + bytes(100)), "not a Parquet file, or one that was cut"),
    "a directory": ("folder", directory, "is a directory; name one file in it"),
    "a missing file": ("evnts.csv", lambda path: (path.parent / "events.csv").touch(), 'did you mean "events.csv"?'),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_what_cannot_be_read_is_refused_by_name(tmp_path: Path, case: str) -> None:
    name, make, message = UNREADABLE[case]
    make(tmp_path / name)

    done = driftline(tmp_path, "run", write_config(tmp_path, name))

    assert (done.returncode, done.stdout) == (2, "")
    assert f"{name}: " in done.stderr
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("case", ["a photo", "an empty file", "one JSON array", "a missing file"])
def test_init_and_demo_refuse_it_the_same_way(tmp_path: Path, case: str) -> None:
    name, make, message = UNREADABLE[case]
    make(tmp_path / name)

    for args in (["init", name], ["demo", "--data", name]):
        done = driftline(tmp_path, *args)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"{name}: " in done.stderr
        assert message in done.stderr
    assert not list(tmp_path.rglob("*.toml"))


def test_a_header_alone_is_no_error_but_is_said(tmp_path: Path) -> None:
    (tmp_path / "header.csv").write_text(HEADER)

    done = driftline(tmp_path, "run", write_config(tmp_path, "header.csv"), "--json")

    assert done.returncode == 0
    assert "no records in the input" in done.stderr
    summary = json.loads(done.stdout)
    assert (summary["events"], summary["labels"], summary["dead_letters"]) == (0, 0, 0)
    done = driftline(tmp_path, "init", "header.csv")
    assert done.returncode == 2
    assert "header.csv: nothing to profile" in done.stderr


def test_a_byte_order_mark_and_another_delimiter_change_nothing(tmp_path: Path, whole: dict[str, str]) -> None:
    (tmp_path / "semicolons.csv").write_bytes(b"\xef\xbb\xbf" + csv_text(records(ROWS), ";").encode())

    assert digest_of_run(tmp_path, "semicolons.csv") == whole


def test_a_truncated_gzip_is_read_as_far_as_it_goes_and_repaired_goes_on(tmp_path: Path, whole: dict[str, str]) -> None:
    file, data = tmp_path / "events.csv.gz", gzip.compress(csv_text(records(ROWS)).encode())
    file.write_bytes(data[: len(data) // 2])
    config = write_config(tmp_path, file.name)

    done = driftline(tmp_path, "run", config, "--json")

    assert done.returncode == 2
    found = re.search(r"events.csv.gz: the gzip stream ends early after record (\d+).*run again", done.stderr)
    assert found
    with Log(tmp_path / "small.db") as log:
        assert 0 < log.count("predictions") == int(found[1]) + 1 < ROWS
    file.write_bytes(data)
    assert digest_of_run(tmp_path, file.name) == whole


def test_init_takes_what_is_readable_of_a_truncated_file(tmp_path: Path) -> None:
    data = gzip.compress(csv_text(records(ROWS)).encode())
    (tmp_path / "events.csv.gz").write_bytes(data[: len(data) // 2])

    assert driftline(tmp_path, "init", "events.csv.gz").returncode == 0
    assert 'id = "id"' in (tmp_path / "events.toml").read_text()


# Single records that are wrong: dead letters with raw bytes, reason and path


def test_each_bad_row_of_a_csv_is_a_dead_letter_and_no_other(tmp_path: Path) -> None:
    rows = [",".join(row.values()).encode() for row in records(ROWS)]
    at = [row.split(b",")[1] for row in rows]
    bad = {
        10: (b"e10,%b,1,1,caf\xe9,1" % at[10], "$", "not UTF-8 at byte 25 (0xe9)"),
        20: (b"e20,%b,1,1,%b,1" % (at[20], b"x" * 10_000_000), "$.c", "not one of the 2 allowed values"),
        30: (b"e30,%b,many,1,a,1" % at[30], "$.x", 'expected a number, got "many"'),
        40: (b"e40,%b,1,1,42,1" % at[40], "$.c", 'not one of the 2 allowed values: "42"'),
        50: (b"e50,%b,1e400,1,a,1" % at[50], "$.x", "number out of range: 1e400"),
        60: (b"e60,13/01/2013,1,1,a,1", "$.time", 'not a time: "13/01/2013"; use RFC 3339 or epoch milliseconds'),
        70: (b"e70,%b,1,1,a" % at[70], "$", "expected 6 cells, got 5"),
        80: (b"e80,%b,1,1,a,1,more" % at[80], "$", "expected 6 cells, got 7"),
        90: (b"e90,%b,1,1,a,perhaps" % at[90], "$.y", "expected 0/1, true/false or yes/no"),
        100: (b'e100,%b,"1,1,a,1' % at[100], "$", "not CSV: a quote is not closed"),
        110: (b"e1,%b,1,1,a,1" % at[110], "$.id", "id was seen before"),
        120: (b",%b,1,1,a,1" % at[120], "$.id", "missing"),
        130: (b"e130,%b,1,1,\x1b[31m,1" % at[130], "$.c", "not one of"),
    }
    good = {200: b"e200,%b,NaN,NA,,1" % at[200], 210: b"e210,%b,,,,1" % at[210]}
    for row, line in good.items() | {row: line for row, (line, _, _) in bad.items()}.items():
        rows[row] = line
    (tmp_path / "rows.csv").write_bytes(HEADER.encode() + b"\n".join(rows) + b"\n")

    summary = run_json(tmp_path, "rows.csv")

    assert summary["events"] == ROWS - len(bad)
    assert summary["rejected"] == summary["dead_letters"] == len(bad)
    letters = dead_letters(tmp_path)
    assert {row: (letter["raw"], letter["path"]) for row, letter in letters.items()} == {
        row: (line, path) for row, (line, path, _) in bad.items()
    }
    for row, (_, _, reason) in bad.items():
        assert reason in letters[row]["reason"]
    shown = driftline(tmp_path, "dead-letters", "small.toml")
    assert [line.split("  ")[:2] for line in shown.stdout.splitlines()] == [
        [f"events {row}", letter["kind"]] for row, letter in letters.items()
    ]
    assert "caf\\xe9" in shown.stdout
    assert "\x1b" not in shown.stdout


def test_each_bad_line_of_json_is_a_dead_letter_and_no_other(tmp_path: Path) -> None:
    rows = [row | {"time": int(row["time"]), "x": float(row["x"]), "z": float(row["z"])} for row in records(ROWS)]
    lines = [json.dumps(row) for row in rows]
    times = {
        5: "2020-09-13T12:31:40Z",
        15: "2020-09-13T14:41:40+02:00",
        25: "2020-09-13 12:51:40",
        35: "1600002100000",
        45: "2020-09-13T13:11:40.5Z",
    }
    for row, moment in times.items():
        lines[row] = json.dumps(rows[row] | {"time": moment})

    def swapped(row: int, value: str) -> str:
        return json.dumps(rows[row] | {"x": "here"}).replace('"here"', value)

    bad = {
        10: ("not json", "$", "not JSON"),
        20: ("x" * 10_000_000, "$", "not JSON"),
        30: (swapped(30, '{"value": 1}'), "$.x", "expected a number, got an object"),
        40: (swapped(40, "[1, 2]"), "$.x", "expected a number, got an array"),
        50: (swapped(50, "1e400"), "$.x", "number out of range: 1e400"),
        60: (swapped(60, '"many"'), "$.x", 'expected a number, got "many"'),
        70: (swapped(70, "Infinity"), "$.x", "number out of range"),
        80: (json.dumps(rows[80] | {"c": {"a": 1}}), "$.c", "expected a text, got an object"),
        90: (json.dumps(rows[90] | {"time": "13/01/2013"}), "$.time", "not a time"),
        100: ("[" * 100_000, "$", "nested more than 256 deep"),
        110: ('"a text"', "$", "not an object"),
        120: (lines[120][:-2], "$", "not JSON"),
        130: (json.dumps(rows[130] | {"c": "unheard"}), "$.c", 'not one of the 2 allowed values: "unheard"'),
    }
    for row, (line, _, _) in bad.items():
        lines[row] = line
    lines[200], lines[210], lines[220] = swapped(200, '"NaN"'), swapped(210, "NaN"), swapped(220, "null")
    (tmp_path / "rows.jsonl").write_text("\n".join(lines) + "\n")

    summary = run_json(tmp_path, "rows.jsonl")

    assert summary["events"] == ROWS - len(bad)
    assert summary["dead_letters"] == len(bad)
    letters = dead_letters(tmp_path)
    assert {row: (letter["raw"], letter["path"]) for row, letter in letters.items()} == {
        row: (line.encode(), path) for row, (line, path, _) in bad.items()
    }
    for row, (_, _, reason) in bad.items():
        assert reason in letters[row]["reason"]
    with Log(tmp_path / "small.db") as log:
        read = {record.key: record.time_ms for record in log.read("predictions")}
    assert [read[f"e{row}"] for row in times] == [rows[row]["time"] + 500 * (row == 45) for row in times]


def test_a_column_that_breaks_raises_its_alarm_and_blinds_no_other(tmp_path: Path) -> None:
    rows = records(2500)
    for i, row in enumerate(rows):
        row["x"] = row["x"] if i < 800 else ""
        row["y"] = str(1 - int(row["y"])) if i >= 1800 else row["y"]
    (tmp_path / "broken.csv").write_text(csv_text(rows))

    summary = run_json(tmp_path, "broken.csv")

    assert (summary["events"], summary["dead_letters"]) == (2500, 0)
    with Log(tmp_path / "small.db") as log:
        alerts = [json.loads(record.value)["data"] for record in log.read("alerts")]
    first: dict[str, int] = {}
    for part in (part for alert in alerts for part in alert["contributions"]):
        first.setdefault(part["signal"], part["offset"])
    assert 800 <= first["missing:x"] < 900
    assert any(a["signal"] == "error" and 1800 <= a["offset"] < 2200 for a in alerts)
    assert summary["metrics"]["champion"]["since_start"]["accuracy"] < 0.95


def test_labels_that_never_come_are_said(tmp_path: Path) -> None:
    (tmp_path / "bare.csv").write_text(csv_text([row | {"y": ""} for row in records(ROWS)]))

    done = driftline(tmp_path, "run", write_config(tmp_path, "bare.csv"), "--json")

    assert done.returncode == 0
    assert "no label has come, so there is no error to measure" in done.stderr
    summary = json.loads(done.stdout)
    assert (summary["events"], summary["labels"], summary["dead_letters"]) == (ROWS, 0, 0)


# The state


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A folder with good.csv and its small.toml; small.db is a log of the right form, but empty."""
    (tmp_path / "good.csv").write_text(csv_text(records(ROWS)))
    write_config(tmp_path, "good.csv")
    Log(tmp_path / "small.db", write=True).close()
    return tmp_path


def refused(folder: Path, *args: str | Path, code: int = 1) -> str:
    done = driftline(folder, *args)
    assert (done.returncode, done.stdout) == (code, "")
    return done.stderr


def test_a_state_of_another_configuration_is_refused(tmp_path: Path) -> None:
    (tmp_path / "good.csv").write_text(csv_text(records(ROWS)))
    digest_of_run(tmp_path, "good.csv")
    write_config(tmp_path, "good.csv", every=64)

    message = refused(tmp_path, "run", "small.toml", code=2)  # a supervisor must not try again

    assert "belongs to another configuration" in message
    assert "--state" in message


def test_a_state_of_another_version_is_refused(begun: Path) -> None:
    with sqlite3.connect(begun / "small.db") as database:
        database.execute("PRAGMA user_version = 9")
    database.close()

    for command in ("run", "alerts"):
        message = refused(begun, command, "small.toml")
        assert f"{begun / 'small.db'} was written by another version of driftline (format 9" in message
        assert "give --state another file" in message


def test_a_state_that_is_no_log_is_refused_and_left_alone(begun: Path) -> None:
    (begun / "small.db").write_text("my notes, not a database\n" * 100)

    message = refused(begun, "run", "small.toml")

    assert f"{begun / 'small.db'} is not a driftline log: give --state another file" in message
    assert (begun / "small.db").read_text().startswith("my notes")


@pytest.mark.parametrize(
    ("state", "message"),
    [("nowhere/x.db", "check that its folder exists"), (".", "is a folder: name a file for the log")],
)
def test_a_state_where_none_can_be_is_refused(begun: Path, state: str, message: str) -> None:
    assert message in refused(begun, "run", "small.toml", "--state", state)


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A small file system of its own at `folder`; skips where none may be mounted."""
    folder.mkdir()
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root may mount a small file system")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount a small file system: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / "good.csv").write_text(csv_text(records(20_000)))
    config = write_config(tmp_path, "good.csv", every=1024)
    assert driftline(tmp_path, "run", config).returncode == 0
    with Log(tmp_path / "small.db") as log:
        expected = log.digest()
    with mounted(tmp_path / "disk", "size=16m") as disk:
        (disk / "ballast").write_bytes(bytes((16 << 20) - (tmp_path / "small.db").stat().st_size * 2 // 3))

        message = refused(tmp_path, "run", config, "--state", disk / "small.db")

        assert f"disk full: could not write to {disk / 'small.db'}" in message
        assert "free some space and run again" in message
        (disk / "ballast").unlink()
        done = driftline(tmp_path, "run", config, "--state", disk / "small.db")
        assert done.returncode == 0
        with Log(disk / "small.db") as log:
            assert log.digest() == expected


def test_a_folder_that_cannot_be_written_is_refused(begun: Path) -> None:
    with mounted(begun / "locked", "ro") as locked:
        for args in (
            ("run", "small.toml", "--state", locked / "x.db"),
            ("init", "good.csv", "-o", locked / "x.toml"),
            ("demo", "--data", "good.csv", "--folder", locked / "demo"),
        ):
            message = refused(begun, *args)
            assert f"cannot use {locked}" in message
            assert "check that its folder exists and is yours to" in message


# Wrong use


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["run", "smal.toml"], 'smal.toml: 1 problem\n  no such file; did you mean "small.toml"?'),
        (["run", "good.csv"], "`driftline init good.csv` writes a configuration"),
        (["run"], "Missing argument 'CONFIG'"),
        (["rnu", "small.toml"], 'did you mean "run"?'),
        (["run", "small.toml", "--sate", "x"], "--state"),
        (["run", "small.toml", "--follow", "--until-end"], "--follow never ends"),
        (["init", "good.csv", "-o", "small.toml"], "small.toml exists"),
        (["init", "-"], "init reads a file, not standard input"),
    ],
)
def test_wrong_use_is_explained(begun: Path, args: list[str], message: str) -> None:
    assert message in refused(begun, *args, code=2)


def test_all_mistakes_of_a_configuration_are_told_at_once(begun: Path) -> None:
    text = (begun / "small.toml").read_text()
    text = text.replace("[schema]", "[schema]\nlable = 1").replace('"page_hinkley"', '"page_hinkly"')
    (begun / "small.toml").write_text("nmae = 1\n" + text.replace('signal = "missing:*"', 'signal = "mising:*"'))

    for command in ("run", "check"):
        message = refused(begun, command, "small.toml", code=2)
        assert message.startswith("driftline: small.toml: 4 problems\n")
        for path in ("$.nmae: unknown key", "$.schema.lable", "$.watch[0].detector", "$.watch[0].signal"):
            assert path in message


@pytest.mark.parametrize("labels", [False, True], ids=["events", "labels"])
@pytest.mark.parametrize("text", [None, "id,time\n1,2020-01-01T00:00:00Z\n"], ids=["missing", "other columns"])
def test_inputs_that_run_refuses_are_refused_by_check_and_leave_no_log(
    tmp_path: Path, text: str | None, *, labels: bool
) -> None:
    (tmp_path / "good.csv").write_text(csv_text(records(ROWS)))
    write_config(tmp_path, "good.csv" if labels else "bad.csv", source='labels = "bad.csv"' if labels else "")
    if text is not None:
        (tmp_path / "bad.csv").write_text(text)

    said = {refused(tmp_path, command, "small.toml", code=2) for command in ("check", "run")}

    (message,) = said
    assert f"bad.csv: {'no such file' if text is None else 'no column'}" in message
    assert not list(tmp_path.glob("small.db*"))


def test_check_does_not_look_into_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    assert driftline(tmp_path, "check", write_config(tmp_path, "pipe")).returncode == 0


def test_init_writes_paths_that_hold_from_where_the_configuration_stands(begun: Path) -> None:
    (begun / "configs").mkdir()

    assert driftline(begun, "init", "good.csv", "-o", "configs/good.toml").returncode == 0
    assert driftline(begun, "run", "configs/good.toml").returncode == 0


# Ends


def test_ctrl_c_ends_a_run_well(begun: Path) -> None:
    environment = {"PYTHONPATH": str(ROOT), "HOME": str(begun)}
    command = [*DRIFTLINE, "run", "small.toml", "--follow"]
    with subprocess.Popen(command, cwd=begun, env=environment, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + TIMEOUT_S
        while count(begun / "small.db") < ROWS and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=TIMEOUT_S)

    assert process.returncode == 0
    assert f"stopped; run again to go on after record {ROWS}" in said
    assert "Traceback" not in said


def count(path: Path) -> int:
    with Log(path) as log:
        return log.count("predictions")
