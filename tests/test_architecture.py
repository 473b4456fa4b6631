"""The rules of the tree, read from the source by `ast`: who may import whom, and how large things may get."""

import ast
import importlib
import pkgutil
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import detectors
from stream_app.config import Config, Field, Schema
from stream_app.flow import STAGES
from stream_app.pipeline import Pipeline

ROOT = Path(__file__).parent.parent
PACKAGES = ("stream_app", "detectors")
FOLDERS = (*PACKAGES, "tests", "benchmarks")
MODULES = sorted(path.relative_to(ROOT).as_posix() for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
FILES = sorted(path.relative_to(ROOT).as_posix() for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))

PURE = (
    "stream_app/flow/",
    "stream_app/evidence/",
    "stream_app/models/",
    "stream_app/board/",
    "stream_app/pipeline.py",
    "stream_app/messages.py",
    "stream_app/texts.py",
    "detectors/",
)
WORLD = {  # modules by which a core would touch clocks, chance, files, processes, networks or logs
    *("time", "random", "secrets", "uuid", "os", "pathlib", "shutil", "tempfile", "glob", "fcntl", "mmap", "sqlite3"),
    *("logging", "warnings", "sys", "signal", "subprocess", "threading", "multiprocessing", "concurrent", "asyncio"),
    *("queue", "socket", "select", "selectors", "ssl", "http", "urllib", "aiokafka", "faust", "click", "rich"),
    *("prometheus_client", "contextvars"),
}
CLOCK_CALLS = {"now", "utcnow", "today"}  # of datetime and date
SEEDED = {"default_rng", "Generator", "PCG64", "SeedSequence"}  # of numpy.random, given a seed
SEEDED_RANDOM = {"detectors/_mersenne.py": {"random"}}  # random.Random(seed), never the global one
IN_MEMORY = {"BytesIO", "StringIO"}  # of io
FILE_CALLS = {"open", "print", "input", "fromfile", "tofile", "memmap", "loadtxt", "savetxt", "genfromtxt"}
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc"}
STANDS_ALONE = {"numpy", "scipy", "numba"}  # all that the detector library needs


@cache
def tree_of(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(), file)


def imports(file: str) -> Iterator[str]:
    """Dotted names of all that a file imports, also inside functions; names taken from a package with it."""
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def roots(file: str) -> set[str]:
    return {name.partition(".")[0] for name in imports(file)}


def calls(file: str) -> Iterator[tuple[str, ast.Call]]:
    """Each call with the dotted name of what is called, as it is written."""
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from the first statement behind the docstring to the last."""
    statements = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return function.end_lineno - statements[0].lineno + 1 if statements else 0


@pytest.mark.parametrize("file", [file for file in MODULES if file.startswith("detectors/")])
def test_detectors_stand_alone(file: str) -> None:
    standard = roots(file) - STANDS_ALONE - {"detectors"}

    assert {name for name in standard if name not in sys.stdlib_module_names} == set()


@pytest.mark.parametrize("file", [file for file in MODULES if file.startswith(PURE)])
def test_the_core_touches_nothing_of_the_world(file: str) -> None:
    assert roots(file) & WORLD <= SEEDED_RANDOM.get(file, set())
    assert [name for name in imports(file) if name.startswith(("stream_app.edges", "stream_app.runners"))] == []
    assert [name for name in imports(file) if name.startswith("io.") and name.partition(".")[2] not in IN_MEMORY] == []


@pytest.mark.parametrize("file", [file for file in MODULES if file.startswith(PURE)])
def test_the_core_asks_no_clock_no_chance_and_no_file(file: str) -> None:
    found = []
    for name, call in calls(file):
        owner, _, attribute = name.rpartition(".")
        chance = owner in {"np.random", "numpy.random"} and (
            attribute not in SEEDED or not (call.args or call.keywords)
        )
        clock = attribute in CLOCK_CALLS and owner.rpartition(".")[2] in {"datetime", "date"}
        chance |= owner == "random" and (attribute != "Random" or not call.args)
        if chance or clock or attribute in FILE_CALLS or (owner == "io" and attribute not in IN_MEMORY):
            found.append(f"{file}:{call.lineno}: {name}")

    assert found == []


def test_evidence_knows_no_stage() -> None:
    pure = [file for file in MODULES if file.startswith("stream_app/evidence/")]

    assert [file for file in pure if any(name.startswith("stream_app.flow") for name in imports(file))] == []


def test_the_core_imports_no_random_of_numpy() -> None:
    assert [file for file in MODULES if file.startswith(PURE) and "numpy.random" in imports(file)] == []


def test_only_runners_and_the_command_line_sleep() -> None:
    sleeping = [file for file in MODULES if any(name.rpartition(".")[2] == "sleep" for name, _ in calls(file))]

    assert [
        file for file in sleeping if not file.startswith(("stream_app/runners/", "stream_app/commands/streams.py"))
    ] == []


def test_only_the_configuration_parses_toml() -> None:
    assert {file for file in MODULES if "tomllib" in roots(file)} == {"stream_app/config/reading.py"}


def test_faust_is_known_to_its_runner_only() -> None:
    assert {file for file in MODULES if "faust" in roots(file)} <= {"stream_app/runners/faust_worker.py"}


def test_river_is_known_to_models_only() -> None:
    assert {file for file in MODULES if "river" in roots(file) and not file.startswith("stream_app/models/")} == set()


def test_folders_are_at_most_two_deep() -> None:
    assert [file for file in MODULES if file.count("/") > 2] == []


@pytest.mark.parametrize("file", FILES)
def test_every_file_has_a_telling_name_and_a_docstring(file: str) -> None:
    words = set(Path(file).stem.strip("_").split("_"))

    assert words & VAGUE == set()
    assert ast.get_docstring(tree_of(file)), f"{file} does not say what it is"


@pytest.mark.parametrize("file", FILES)
def test_no_file_is_longer_than_500_lines(file: str) -> None:
    assert len((ROOT / file).read_text().splitlines()) <= 500


@pytest.mark.parametrize("file", FILES)
def test_no_function_is_longer_than_60_lines(file: str) -> None:
    functions = [node for node in ast.walk(tree_of(file)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]

    assert {f.name: body_lines(f) for f in functions if body_lines(f) > 60} == {}


def test_the_pipeline_has_the_stages_in_their_order() -> None:
    pipeline = Pipeline(Config(name="x", schema=Schema(label="y", fields={"x": Field(type="number")})))

    assert tuple(name for name in vars(pipeline) if name in STAGES) == STAGES
    assert tuple(pipeline.stages) == STAGES


def test_each_detector_is_the_file_of_its_name() -> None:
    files = sorted(path.stem for path in (ROOT / "detectors").glob("*.py") if not path.stem.startswith("_"))

    assert list(detectors.names()) == files


def every_module() -> Iterator[str]:
    for package in PACKAGES:
        yield package
        folder = [str(ROOT / package)]
        yield from (found.name for found in pkgutil.walk_packages(folder, f"{package}."))


@pytest.mark.parametrize("name", sorted(every_module()))
def test_what_a_module_offers_is_there(name: str) -> None:
    module = importlib.import_module(name)
    offered = getattr(module, "__all__", [])

    assert [each for each in offered if not hasattr(module, each)] == []
    assert len(set(offered)) == len(offered)
