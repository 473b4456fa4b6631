"""Files of trained models: artefacts, bare ONNX files, pickled river objects."""

from pathlib import Path

from stream_app import config
from stream_app.errors import SourceError, StateError
from stream_app.models import Inputs
from stream_app.models.artefact import from_onnx, from_river
from stream_app.models.document import MAX_BYTES
from stream_app.models.seal import verified

PICKLES = (".pickle", ".pkl")


def read(path: Path, task: config.Task, inputs: Inputs, classes: list[str], key: bytes) -> bytes:
    """The artefact in a file: a document, a bare ONNX file (.onnx), or a pickled river object (.pickle, .pkl).

    Only a file with such a name is opened as a pickle: whoever adds it can see that it is one. Raises SourceError.
    """
    data = _content(path)
    try:
        if path.suffix in PICKLES:
            return from_river(data, task, inputs, classes)
        if path.suffix == ".onnx":
            return from_onnx(data, task, inputs, classes)
        return verified(data, key)
    except (ValueError, StateError) as error:
        raise SourceError(f"{path}: {error}") from None


def from_river_pickle(path: Path, task: config.Task, inputs: Inputs, classes: list[str]) -> bytes:
    """The artefact, unsigned, of a river object in a file that `pickle.dump` wrote; raises SourceError."""
    try:
        return from_river(_content(path), task, inputs, classes)
    except ValueError as error:
        raise SourceError(f"{path}: {error}") from None


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise SourceError(f"{path} is larger than {MAX_BYTES >> 20} MiB: train a smaller model")
    return data
