"""The archive: models in parts, put together again."""

import json

import pytest

from stream_app import config
from stream_app.edges.archive import newest
from stream_app.errors import DriftlineError
from stream_app.flow import versions
from stream_app.flow.versions import Version, Versions
from stream_app.messages import Origin
from stream_app.models.seal import packed


@pytest.fixture
def book(monkeypatch: pytest.MonkeyPatch) -> Versions:
    monkeypatch.setattr(versions, "PART_BYTES", 10)
    fields = {"a": config.Field(type="number")}
    return Versions(config.Config(name="m", schema=config.Schema(label="y", fields=fields)), Origin("m", 0))


def test_parts_make_the_document_again(book: Versions) -> None:
    version, document = Version("v2", "fresh", "v1", config.Model()), b'{"artefact": 1, "use": "linear"}' * 9
    old = book.parts(version, b"old", 64, 1)
    parts = book.parts(version, document, 128, 2)

    assert len(parts) == -(-len(packed(document)) // 10) > 2
    assert len({part.id for part in (*old, *parts)}) == len(old) + len(parts)
    assert newest([part.value for part in (*parts[::-1], *old)], "v2") == document


def test_one_that_lost_a_part_gives_way_to_the_one_before(book: Versions) -> None:
    version = Version("v2", "fresh", "v1", config.Model())
    old, parts = book.parts(version, b"old and whole", 64, 1), book.parts(version, b"new, but cut" * 9, 128, 2)

    assert newest([part.value for part in (*old, *parts[1:])], "v2") == b"old and whole"


def test_what_is_not_there_says_why(book: Versions) -> None:
    version = Version("v2", "fresh", "v1", config.Model())
    (told,) = book.parts(version, b"", 64, 1, problem="too large")

    with pytest.raises(DriftlineError, match="v3 is not in the archive: it goes there when it is promoted"):
        newest([told.value], "v3")
    with pytest.raises(DriftlineError, match="v2 could not be written down: too large"):
        newest([told.value], "v2")
    assert json.loads(told.value)["data"] == ""
