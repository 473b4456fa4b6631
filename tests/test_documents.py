"""The documents say what the code does: commands, files, stages, configuration keys and their defaults, examples."""

import math
import re
import tomllib
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import click
import numpy as np
import pytest
from msgspec import NODEFAULT, Struct, defstruct, structs

import detectors
from detectors import _base
from stream_app.cli import cli
from stream_app.config import Config, parse
from stream_app.config.reading import Reader
from stream_app.flow import STAGES

ROOT = Path(__file__).parent.parent
README, ARCHITECTURE, CONFIGURATION, DETECTORS = (
    (ROOT / name).read_text() for name in ("README.md", "ARCHITECTURE.md", "docs/configuration.md", "docs/detectors.md")
)
MODULES = sorted(
    path.relative_to(ROOT).as_posix()
    for package in ("stream_app", "detectors")
    for path in (ROOT / package).rglob("*.py")
)
TABLE_ROW = re.compile(r"^\| `([^`]+)` \| (.+?) \| (.+?) \| (.+) \|$", re.MULTILINE)


def blocks(text: str, language: str) -> list[str]:
    """The fenced code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def sections() -> dict[str, dict[str, tuple[str, str]]]:
    """Heading in brackets → key → (type, default) of its table in docs/configuration.md."""
    parts = re.split(r"^## `\[+([\w.]*)\]+`.*$", CONFIGURATION, flags=re.MULTILINE)[1:]
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return {name: {key: (kind, default) for key, kind, default, _ in TABLE_ROW.findall(body)} for name, body in pairs}


def tables(kind: Any, name: str = "") -> dict[str, type[Struct]]:
    """Every table that the configuration may hold, by the name it has in the file."""
    found: dict[str, type[Struct]] = {name: kind}
    for field in structs.fields(kind):
        below = beneath(field.type)
        if below is not None:
            found |= tables(below, f"{name}.{field.encode_name}".lstrip("."))
    return found


def beneath(kind: Any) -> type[Struct] | None:
    """The table that a field holds, alone or in an array or table of tables; None for plain values."""
    if get_origin(kind) in (Union, UnionType, tuple, dict):
        return next((found for found in map(beneath, get_args(kind)) if found), None)
    is_table = isinstance(kind, type) and issubclass(kind, Struct) and not hasattr(kind, "parse")
    return kind if is_table else None


def test_every_command_is_documented_and_has_an_example() -> None:
    undocumented = [name for name in cli.commands if not re.search(rf"`(driftline )?{name}\b", README + ARCHITECTURE)]

    assert undocumented == []
    assert [name for name, command in cli.commands.items() if "Example: driftline " not in (command.help or "")] == []


def test_no_command_is_documented_that_does_not_exist() -> None:
    named = set(re.findall(r"(?:^|[`$(] ?)driftline ([a-z][a-z-]*)", README + ARCHITECTURE, re.MULTILINE))

    assert named - set(cli.commands) == set()


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_every_option_has_a_help_text(name: str) -> None:
    options = [each for each in cli.commands[name].params if isinstance(each, click.Option)]

    assert [option.name for option in options if not option.help] == []


def test_architecture_names_every_module_once_in_a_table() -> None:
    named = re.findall(r"^\| `([\w/]+\.py)` \|", ARCHITECTURE, re.MULTILINE)

    assert sorted(named) == MODULES


def test_architecture_names_no_file_that_is_not_there() -> None:
    named = set(re.findall(r"`([\w./-]+(?:\.(?:py|toml|md|lock)|/))`", ARCHITECTURE + CONFIGURATION))

    assert named
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_architecture_draws_the_stages_in_their_order() -> None:
    (picture,) = blocks(ARCHITECTURE, "mermaid")
    headings = [heading for heading in re.findall(r"^## (\w+)$", ARCHITECTURE, re.MULTILINE) if heading in STAGES]

    assert " --> ".join(STAGES) in picture
    assert tuple(headings) == STAGES


def test_architecture_states_invariants() -> None:
    assert ARCHITECTURE.count("**Invariant:**") >= 5


def test_every_table_of_the_configuration_is_documented() -> None:
    assert set(sections()) == set(tables(Config))


@pytest.mark.parametrize(("name", "kind"), tables(Config).items())
def test_every_key_is_documented_with_its_default(name: str, kind: type[Struct]) -> None:
    documented = sections()[name]
    fields = {field.encode_name: field for field in structs.fields(kind)}

    assert set(documented) == set(fields)
    assert {key: documented[key][1] for key, field in fields.items() if not says(documented[key][1], field)} == {}


def says(cell: str, field: structs.FieldInfo) -> bool:
    """Whether the default in the document, read as a configuration reads it, is that of the field."""
    default = field.default if field.default_factory is NODEFAULT else field.default_factory()
    if field.required or default is None:
        return cell == ("required" if field.required else "none")
    reader = Reader({})
    table = defstruct("Table", [(field.name, field.type)], rename={field.name: field.encode_name})
    value = reader.value(table, tomllib.loads(f"{field.encode_name} = {cell.strip('`')}"), "$")
    return not reader.problems and getattr(value, field.name) == default


def test_the_text_of_each_choice_is_documented() -> None:
    for name, kind in tables(Config).items():
        for field in structs.fields(kind):
            choices = re.findall(r"'([\w-]+)'", str(field.type)) if "Literal" in str(field.type) else []
            text = sections()[name][field.encode_name][0]
            assert re.findall(r'`"([\w-]+)"`', text) == choices, f"[{name}] {field.encode_name}"


def test_every_detector_is_documented() -> None:
    assert [name for name in detectors.names() if f"`{name}`" not in DETECTORS] == []


def test_the_examples_of_the_detectors_work(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    for source in blocks(DETECTORS, "python"):
        exec(compile(source, "detectors.md", "exec"), names)
    at, onset, before, after, *_ = capsys.readouterr().out.split()

    assert 15_000 < int(at) < 15_300
    assert abs(int(onset) - 15_000) < 200
    assert float(before) < 0.12 < float(after)
    assert names["detector"].name == "ks"


def test_configurations_in_the_documents_are_valid() -> None:
    known = {field.encode_name for field in structs.fields(Config)}

    for text in blocks(README + ARCHITECTURE + CONFIGURATION, "toml"):
        assert set(tomllib.loads(text)) <= known
        if "[schema]" in text:
            parse(text, "a document", {})


def test_the_changelog_names_the_version_or_is_unreleased() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert headings[0] == "Unreleased"


def test_every_make_target_explains_itself() -> None:
    text = (ROOT / "Makefile").read_text()
    targets = set(re.search(r"^\.PHONY: (.+)$", text, re.MULTILINE)[1].split())

    assert targets == set(re.findall(r"^([\w-]+):.* ## .+$", text, re.MULTILINE))


def test_the_detector_of_the_readme_works() -> None:
    (source,) = blocks(README, "python")
    known = _base.registered()
    try:
        exec(compile(source, "rising.py", "exec"), {"__name__": "detectors.rising"})
        detector = detectors.make("rising", arl0=1e4)
        quiet = np.random.default_rng(7).normal(size=20_000)
        ramp = np.concatenate([quiet, [math.nan], np.arange(9.0) + 9])

        ((at, drift),) = detector.update_many(ramp)
    finally:
        for name in set(_base.registered()) - set(known):
            del _base._registered[name]

    assert drift.statistic == drift.threshold == 7
    assert at - drift.age + 1 in (20_000, 20_001)
    assert detector.missing == 1
