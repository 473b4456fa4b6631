"""The published schemas: the committed files are those that the code makes, and all that is written validates."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from click.testing import CliRunner
from command import csv_text, driftline, records, write_config
from jsonschema.protocols import Validator
from msgspec import structs
from streams import made_stream, run_in_cuts
from test_pipeline import VARIANTS, variant

from stream_app.cli import cli
from stream_app.edges.log import Log
from stream_app.flow.commands import COMMANDS, Command
from stream_app.schemas import records as types
from stream_app.schemas.documents import TYPES, asyncapi, schema

SOME = 30  # records of a stream that the JSON Schema is asked about
DOCS = Path(__file__).parent.parent / "docs"
VALIDATORS: dict[str, Validator] = {stream: jsonschema.Draft202012Validator(schema(stream)) for stream in TYPES}


def problems(stream: str, values: list[bytes]) -> set[str]:
    """What the types have against the records of a stream, and the schema, which is slow, against some of them."""
    found = set()
    for value in values:
        try:
            msgspec.json.decode(value, type=kind_of(stream, value))
        except msgspec.ValidationError as error:
            found.add(f"{stream}: {error}")
    for value in values[:: 1 + len(values) // SOME] + values[-1:]:
        for error in VALIDATORS[stream].iter_errors(json.loads(value)):
            told = [error, *error.context]
            found |= {f"{stream} {each.json_path}: {each.message[:200]}" for each in told}
    return found


def kind_of(stream: str, value: bytes) -> Any:
    """The type of a record: of metrics, that of its signal."""
    if stream != "metrics":
        return TYPES[stream][0]
    names = {kind.__name__.lower(): kind for kind in TYPES[stream]}
    return names[json.loads(value)["signal"].partition(":")[0]]


def parts(node: Any) -> Iterator[dict[str, Any]]:
    """Every object of a document."""
    if isinstance(node, dict):
        yield node
    for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from parts(each)


@pytest.mark.parametrize("name", VARIANTS)
def test_what_the_core_writes_is_as_published(name: str) -> None:
    out, _ = run_in_cuts(variant(name), made_stream(seed=1, events=600), [])

    for stream, found in out.items():
        values = [value if isinstance(value, bytes) else value[-1] for value in found]
        assert values
        assert problems(stream, values) == set()


def test_what_a_run_writes_is_as_published(tmp_path: Path) -> None:
    rows = records(3000)
    for i, row in enumerate(rows):
        row["x"] = row["x"] if i < 1000 else ""
        row["y"] = str(1 - int(row["y"])) if i >= 2000 else row["y"]
    rows[50]["c"] = "[other]"
    (tmp_path / "events.csv").write_text(csv_text(rows))
    assert driftline(tmp_path, "run", write_config(tmp_path, "events.csv")).returncode == 0

    with Log(tmp_path / "small.db") as log:
        written = {stream: [record.value for record in log.read(stream)] for stream in ("alerts", "triggers", "panes")}

    assert all(written.values())
    assert {problem for stream, values in written.items() for problem in problems(stream, values)} == set()


def test_a_member_that_is_not_documented_is_found() -> None:
    out, _ = run_in_cuts(variant("as it is"), made_stream(seed=1, events=1500), [])
    alert = json.loads(out["alerts"][0][-1])
    alert["data"]["surprise"] = 1

    assert problems("alerts", [json.dumps(alert).encode()])


@pytest.mark.parametrize("stream", TYPES)
def test_every_schema_is_one_and_describes_every_member(stream: str) -> None:
    made = schema(stream)
    jsonschema.Draft202012Validator.check_schema(made)
    members = [
        (name, each) for part in parts(made) if "properties" in part for name, each in part["properties"].items()
    ]

    assert members
    assert [name for name, each in members if not each.get("description")] == []
    assert [part["title"] for part in parts(made) if part.get("additionalProperties") is not False
            and "properties" in part] == (["Command"] if stream == "control" else [])  # fmt: skip


def test_commands_are_those_that_are_obeyed() -> None:
    published = {field.encode_name for field in structs.fields(types.Command)}

    assert tuple(schema("control")["$defs"]["Command"]["properties"]["command"]["enum"]) == tuple(sorted(COMMANDS))
    assert published == {field.encode_name for field in structs.fields(Command)}


def test_the_committed_files_are_those_of_the_code(tmp_path: Path) -> None:
    assert CliRunner().invoke(cli, ["schemas", "--out", str(tmp_path)]).exit_code == 0
    made = {path.relative_to(tmp_path): path.read_text() for path in tmp_path.rglob("*.*")}

    assert made == {path: (DOCS / path).read_text() for path in made}, "run `driftline schemas --out docs`"
    assert {path.name for path in (DOCS / "schemas").iterdir()} == {p.name for p in made if p.parent.name == "schemas"}


def test_one_schema_is_printed() -> None:
    printed = CliRunner().invoke(cli, ["schemas", "alerts"])

    assert json.loads(printed.stdout) == schema("alerts")
    assert CliRunner().invoke(cli, ["schemas"]).exit_code == 2


def test_the_topics_are_described() -> None:
    described = asyncapi()

    assert set(described["channels"]) == set(described["operations"]) == set(TYPES)
    for part in parts(described):
        target = part.get("$ref", "#")
        if target.startswith("#"):
            found: Any = described
            for step in target.split("/")[1:]:
                found = found[step]
        else:
            assert (DOCS / target).exists()
    for channel in described["channels"].values():
        assert set(channel["parameters"]) == {"name"}
        assert "{name}" in channel["address"]
