"""The form of an artefact: one versioned JSON document, its reading and writing, and what is refused at once."""

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias, TypeVar

import msgspec

from stream_app.config import Sampling, Step, TaskType

FORMAT = 1
MAX_BYTES = 64 << 20  # of a document: more than any model that scores a stream needs, and a snapshot holds it too

State = TypeVar("State")
Foreign: TypeAlias = dict[str, tuple[str, ...]]  # by category field, texts of the document that a monitor has not seen


class Names(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The inputs that a model takes, in its own order."""

    numbers: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An artefact; `models.artefact` says what each field means."""

    artefact: int
    use: str
    params: dict[str, Any] = {}
    categories: Literal["auto", "keep", "one-hot", "drop"] = "auto"  # of river models, as in a configuration
    steps: tuple[Step, ...] = ()  # of river models, as in a configuration
    sampling: Sampling | None = None  # likewise
    task: TaskType
    classes: tuple[str, ...] = ()
    inputs: Names
    state: msgspec.Raw
    about: dict[str, Any] = {}
    signature: str | None = None  # `edges.artefacts`


class _Version(msgspec.Struct):
    artefact: int


def encoded(document: Document) -> bytes:
    """The document as indented JSON; ValueError for parameters that JSON cannot hold and for what is too large."""
    _check_plain(document.params, "$.params")
    _check_plain(document.about, "$.about")
    fields = {name: getattr(document, name) for name in document.__struct_fields__}
    given = {name: value for name, value in fields.items() if value is not None}
    return bounded(msgspec.json.format(msgspec.json.encode(given), indent=2) + b"\n")


def decoded(data: bytes) -> Document:
    """The document, its state still raw; ValueError names the place of what is wrong.

    >>> decoded(b'{"artefact": 2}')
    Traceback (most recent call last):
    ValueError: $.artefact: version 2 of the format; this driftline reads 1: use the driftline that wrote it
    """
    bounded(data)
    version = _read(data, _Version).artefact
    if version != FORMAT:
        known = f"this driftline reads {FORMAT}: use the driftline that wrote it"
        raise ValueError(f"$.artefact: version {version} of the format; {known}")
    return _read(data, Document)


def state_as(document: Document, kind: type[State]) -> State:
    """What was learned, in the form that its `use` has; ValueError names the place."""
    return _read(bytes(document.state), kind, "$.state")


def check_names(document: Document, numbers: Iterable[str], categories: Iterable[str]) -> None:
    """ValueError unless the state speaks of the inputs that the document promises."""
    for part, listed, found in (
        ("numbers", document.inputs.numbers, numbers),
        ("categories", document.inputs.categories, categories),
    ):
        odd = sorted(set(listed) ^ set(found))
        if odd:
            raise ValueError(f"$.state.{part}: {', '.join(odd)} must stand both here and in $.inputs.{part}")


def bounded(data: bytes, most: int = MAX_BYTES) -> bytes:
    """The same bytes; ValueError if there are too many."""
    if len(data) > most:
        size = f"{len(data) / (1 << 20):.1f} MiB, at most {most >> 20} are taken"
        raise ValueError(f"the model has {size}: train a smaller one (fewer trees, categories or inputs)")
    return data


def _read(data: bytes, kind: type[State], root: str = "$") -> State:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$")
        raise ValueError(f"{root}{path.rstrip('`')}: {text[:1].lower()}{text[1:]}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"the artefact is damaged, or no JSON: {error}: export it again") from None


def _check_plain(value: Any, path: str) -> None:
    """ValueError for what would come back as something else."""
    if isinstance(value, dict):
        for name, item in value.items():
            _check_plain(item, f"{path}.{name}")
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            _check_plain(item, f"{path}[{i}]")
    elif isinstance(value, float) and not abs(value) < float("inf"):
        raise ValueError(f"{path}: {value} cannot be written to JSON: leave it out, or use a large number")
    elif not isinstance(value, str | int | float | None):
        raise ValueError(f"{path}: {type(value).__name__} cannot be written to JSON")
