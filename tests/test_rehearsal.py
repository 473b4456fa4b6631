"""What a run needs is compiled before its first record, shown meanwhile, and nothing else comes of it."""

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from numba import njit
from runs import DRIFTLINE, KEY, LOOP, configured, landed, rows, without, write
from streams import SMALL, differences, made_stream, run_in_cuts

import detectors
from stream_app.config import load, parse
from stream_app.edges import compiling, kernels
from stream_app.edges.demo import write_flights
from stream_app.edges.log import Log
from stream_app.errors import StateError
from stream_app.runners.embedded import Embedded
from stream_app.runners.rehearsal import ALIKE, ARL0, rehearse, shortened

TESTS = Path(__file__).parent
TIMEOUT_S = 240  # a first run compiles
RIVER = '[model]\nuse = "river.tree.HoeffdingTreeClassifier"\n'
SEGMENTS = '[[watch]]\nsignal = "feature:b"\ndetector = "psi"\nreference = "100 events"\nby = "c"\nmax_segments = 2\n'


def warmth(*config: Path) -> dict:
    """What a process of its own tells."""
    command = [sys.executable, TESTS / "warmth.py", *config]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)

    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_stream_of_everything_compiles_nothing_more() -> None:
    found = warmth()

    assert found["kernels"] > 15
    assert found["missed"] == []


@pytest.mark.parametrize("case", ["loop", "river", "csv", "apart"])
def test_a_run_compiles_nothing_more(tmp_path: Path, case: str) -> None:
    made = rows(1, 3000)
    events = {"csv": "e.csv"}.get(case, "e.jsonl")
    write(tmp_path / events, without(made, "y", "ly") if case == "apart" else made)
    write(tmp_path / "l.jsonl", landed(made))
    more = {"river": RIVER + LOOP, "csv": SEGMENTS}.get(case, LOOP)
    labels = "l.jsonl" if case == "apart" else ""

    found = warmth(configured(tmp_path, events, labels, label_time=case != "apart", more=more))

    assert found["summary"]["incidents"] > 0
    assert found["missed"] == []


def test_the_flights_compile_nothing_more(tmp_path: Path) -> None:
    """Some weeks of the demo's year."""
    config = write_flights(tmp_path)
    for name in ("flights.csv", "landings.csv"):
        lines = (tmp_path / name).read_bytes().splitlines(keepends=True)
        (tmp_path / name).write_bytes(b"".join(lines[:15_000]))

    assert warmth(config)["missed"] == []


def test_it_has_no_effects(tmp_path: Path) -> None:
    config, stream = parse(SMALL, "small.toml", {}), made_stream(5, 300)
    before, pipeline = run_in_cuts(config, stream, [])
    state = pipeline.snapshot()
    write(tmp_path / "e.jsonl", rows(2, 50))
    file = configured(tmp_path, "e.jsonl")
    with Log(tmp_path / "log.db", write=True) as log:
        engine = Embedded(load(file), log, key=KEY)
        rehearse(engine.config, engine.forms)
        assert log.load() is None
        assert engine.pipeline.records == 0

    rehearse(config)
    again, other = run_in_cuts(config, stream, [])

    assert repr(again) == repr(before)
    assert differences(pipeline.snapshot(), state) == []
    assert differences(other.snapshot(), state) == []


@pytest.mark.parametrize("detector", detectors.names())
def test_every_detector_can_be_shortened(detector: str) -> None:
    """Or is taken as it is, where it has its own idea of a window."""
    signal = "features" if "number" not in detectors.get(detector).kinds else "error"
    fields = SMALL[: SMALL.index("[[watch]]")]
    config = parse(f'{fields}[[watch]]\nsignal = "{signal}"\ndetector = "{detector}"\n', "one.toml", {})

    (watch,) = shortened(config).watch

    assert watch.arl0 == ARL0
    assert watch.params.get("window", 50) == 50


def test_a_thousand_columns_are_rehearsed_as_four() -> None:
    fields = "\n".join(f'x{i} = {{ type = "number" }}' for i in range(1000))
    text = f"""
        name = "wide"
        [schema]
        label = "y"
        [schema.fields]
        {fields}
        [[features]]
        name = "mean"
        stat = "mean"
        of = "x700"
        [[watch]]
        signal = "feature:*"
        detector = "ks"
        [[watch]]
        signal = "feature:x800"
        detector = "adwin"
    """

    short = shortened(parse(text, "wide.toml", {}))

    assert list(short.schema.fields) == [*(f"x{i}" for i in range(ALIKE)), "x700", "x800"]


def test_compiling_is_told_kernel_by_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    def double(x: float) -> float:
        return 2 * x

    monkeypatch.setattr(double, "__module__", "detectors.made_up")
    kernel, told = njit(double), []

    with compiling.Compiling(lambda now: told.append((now.done, now.kernel))):
        assert kernel(2.0) == 4.0
        assert kernel(3.0) == 6.0

    name = "detectors.made_up.double"
    assert told == [(0, name), (1, name)]


def test_kernels_of_other_sources_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that calls another file's, which has changed since: numba alone would go on with the old one."""
    sources, cache = tmp_path / "made_up_kernels", tmp_path / "cache"
    sources.mkdir()
    (sources / "__init__.py").touch()
    (sources / "outer.py").write_text(
        "from numba import njit\nfrom made_up_kernels.inner import inner\n"
        "@njit(cache=True)\ndef outer(x):\n    return 10 * inner(x)\n"
    )
    monkeypatch.setattr(kernels, "ROOTS", {"made_up_kernels": sources})
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(tmp_path)}
    said = []
    for added in (1, 1, 2):
        (sources / "inner.py").write_text(
            f"from numba import njit\n@njit(cache=True)\ndef inner(x):\n    return x + {added}\n"
        )
        kernels.renew(environment)
        program = "from made_up_kernels.outer import outer; print(outer(1), *outer.stats.cache_hits.values())"
        command = [sys.executable, "-B", "-c", program]
        said.append(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.split())

    assert said == [["20"], ["20", "1"], ["30"]]


def test_kernels_need_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(kernels, "PACKAGE", tmp_path / "file")
    below = str(tmp_path / "file" / "below")

    with pytest.raises(StateError, match="set NUMBA_CACHE_DIR"):
        kernels.folder({"NUMBA_CACHE_DIR": below, "XDG_CACHE_HOME": below})

    assert kernels.folder({"NUMBA_CACHE_DIR": below, "XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "numba"


def test_a_second_process_waits(tmp_path: Path) -> None:
    folder, waited = os.open(tmp_path, os.O_RDONLY), []
    fcntl.flock(folder, fcntl.LOCK_EX)

    with kernels.alone(tmp_path, lambda: waited.append(os.close(folder))):
        assert len(waited) == 1


def test_a_cold_start_says_what_it_does_on_standard_error(tmp_path: Path) -> None:
    """Only what checking the configuration compiles: all of it would take half a minute."""
    config = tmp_path / "c.toml"
    config.write_text(
        'name = "cold"\n[schema]\nlabel = "y"\n[schema.fields]\na = { type = "number" }\n'
        '[[watch]]\nsignal = "feature:a"\ndetector = "ks"\n'
    )
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "kernels")}
    command = [*DRIFTLINE, "alerts", str(config), "--state", str(tmp_path / "none.db")]

    cold, warm = (
        subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S, env=environment)
        for _ in range(2)
    )

    assert "compiling for this machine, once: 0 of at most" in cold.stderr
    assert "the next start finds them on disk" in cold.stderr
    assert "compil" not in warm.stderr
    assert cold.stdout == warm.stdout


def test_a_check_compiles_ahead(tmp_path: Path) -> None:
    config = configured(tmp_path, "e.csv")
    done = subprocess.run(
        [*DRIFTLINE, "check", str(config), "--compile"], capture_output=True, text=True, check=False, timeout=TIMEOUT_S
    )
    write(tmp_path / "e.csv", rows(1, 300))

    run = [*DRIFTLINE, "run", str(config), "--state", str(tmp_path / "s.db")]
    warm = subprocess.run(run, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)

    assert (done.returncode, warm.returncode) == (0, 0)
    assert "compil" not in warm.stderr


def test_a_warm_run_imports_what_it_needs(tmp_path: Path) -> None:
    write(tmp_path / "e.jsonl", rows(1, 100))
    config = configured(tmp_path, "e.jsonl")
    program = (
        "import sys\nfrom stream_app.cli import cli\n"
        f"cli(['run', {str(config)!r}, '--state', {str(tmp_path / 's.db')!r}], standalone_mode=False)\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=TIMEOUT_S
    )

    heavy = {
        *("pandas", "river", "scipy.stats", "scipy.optimize", "asyncio", "aiohttp", "aiokafka", "faust"),
        *("prometheus_client", "pyarrow.parquet", "onnxruntime", "jinja2"),
    }
    assert heavy & {*done.stdout.split()} == set()
