"""JSON documents from columns are those that msgspec makes of objects."""

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream_app import documents
from stream_app.texts import Texts

rows = st.lists(
    st.tuples(st.text(max_size=8), st.sampled_from([-1, 0, 1]), st.floats(), st.integers(-(2**63), 2**63 - 1)),
    max_size=30,
)


@given(rows, st.text(max_size=5))
def test_they_are_what_msgspec_makes_of_objects(made: list[tuple[str, int, float, int]], version: str) -> None:
    names = ["no", 'y"es']
    found = documents.objects(
        {
            "id": documents.texts(Texts.of([name for name, *_ in made])),
            "pick": documents.picked(names, np.array([code for _, code, *_ in made], np.int64)),
            'the "model"': version,
            "score": documents.values([score for *_, score, _ in made]),
            "time": documents.values([time for *_, time in made]),
        }
    )

    assert found.tolist() == [
        msgspec.json.encode(
            {
                "id": name,
                "pick": [*names, None][code],
                'the "model"': version,
                "score": score,
                "time": time,
            }
        )
        for name, code, score, time in made
    ]


def test_texts_that_share_their_bytes_with_others_are_written_alone() -> None:
    ids = Texts.of(['"', "plain", "\n", "é"])

    assert documents.texts(ids[1:2]).tolist() == [b'"plain"']
    assert documents.texts(ids[np.array([3, 2])]).tolist() == ['"é"'.encode(), b'"\\n"']
