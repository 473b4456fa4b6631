"""The five promises of the core (deterministic, batch-blind, resumable, total, explainable), each as a property."""

import json
import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import SMALL, differences, flat, made_stream, run_in_cuts, tape_of

from stream_app.config import parse
from stream_app.edges import snapshots
from stream_app.messages import EVENT, LABEL
from stream_app.pipeline import Pipeline

KEY = b"a key only for these tests"
ESTIMATE_WATCHED = (
    '[[watch]]\nsignal = "rejects"',
    '[[watch]]\nsignal = "estimated_error"\ndetector = "page_hinkley"\narl0 = 1000\n[[watch]]\nsignal = "rejects"',
)
LOOP = (
    'action = "reset"',
    (
        'action = "challenge"\nmemory = 50\nleast = 20\npace = 0.6\npasses = 2\ntrial = 25\nproof = 5\n'
        "confidence = 0.5\narchive = 2"
    ),
)
CHALLENGER = ("[[watch]]", '[[challengers]]\nname = "slow"\nuse = "linear"\nparams = { lr = 0.001 }\n[[watch]]')
AB = ("[measure]", '[ab]\nlane = "slow"\nshare = 0.4\n[measure]')
STEPS_AND_SAMPLING = """
[[model.steps]]
use = "river.preprocessing.StatImputer"
params = { imputers = { a = "river.stats.Mean", c = "unknown" } }
[[model.steps]]
use = "river.preprocessing.StandardScaler"
only = ["a", "b"]
[[model.steps]]
use = "river.feature_extraction.TargetAgg"
params = { by = "c", how = "river.stats.Mean" }
keep = true
[[model.steps]]
use = "river.preprocessing.OneHotEncoder"
[[model.steps]]
use = "river.feature_selection.SelectKBest"
params = { similarity = "river.stats.PearsonCorr", k = 4, use_abs = true }
[model.sampling]
use = "river.imblearn.RandomSampler"
params = { desired_dist = { "0" = 0.5, "1" = 0.5 } }
"""
PROJECTED = """
[[challengers.steps]]
use = "river.preprocessing.GaussianRandomProjector"
params = { n_components = 2 }
[challengers.sampling]
use = "river.imblearn.HardSamplingClassifier"
params = { size = 10, p = 0.2 }
[[watch]]"""
CUT_AT_RANDOM = ("as it is", "notify, no feedback", "challenge", "steps and sampling")
AUTO = """use = "auto"
params = { budget = 150, memory = 30, models = [
  { use = "linear" },
  { use = "linear", params = { lr = 0.3 } },
  { use = "river.naive_bayes.GaussianNB" },
  { use = "river.tree.HoeffdingTreeClassifier" },
] }"""
VARIANTS = {
    "as it is": [],
    "notify, no feedback": [('action = "reset"', 'action = "notify"')],
    "regression": [
        ('type = "binary"', 'type = "regression"'),
        (
            'detector = "page_hinkley"\nparams = { warm_up = 50 }\narl0 = 200\nby = "c"',
            'detector = "ks"\nreference = "100 events"\narl0 = 200\nby = "c"',
        ),
        ESTIMATE_WATCHED,
    ],
    "multiclass, classes found in the stream": [
        ('type = "binary"', 'type = "multiclass"\nmax_classes = 3'),
        ('signal = "prediction"\ndetector = "ks"', 'signal = "prediction"\ndetector = "psi"'),
        ("params = { window = 40 }\narl0 = 200\n[alarms]", "arl0 = 200\n[alarms]"),
        ('stat = "target_mean"', 'stat = "count"'),
        ESTIMATE_WATCHED,
    ],
    "river models": [
        ('use = "linear"', 'use = "river.naive_bayes.GaussianNB"'),
        ("[[watch]]", '[[challengers]]\nname = "tree"\nuse = "river.tree.HoeffdingTreeClassifier"\n[[watch]]'),
    ],
    "compiled classifiers": [
        (LOOP[0], LOOP[1].replace("challenge", "fine-tune")),
        ('use = "linear"', 'use = "hoeffding_tree"\nparams = { grace_period = 10, tau = 0.6 }'),
        ("[[watch]]", '[[challengers]]\nname = "bayes"\nuse = "naive_bayes"\n[[watch]]'),
    ],
    "compiled classifiers, multiclass": [
        ('type = "binary"', 'type = "multiclass"\nmax_classes = 3'),
        ('signal = "prediction"\ndetector = "ks"', 'signal = "prediction"\ndetector = "psi"'),
        ("params = { window = 40 }\narl0 = 200\n[alarms]", "arl0 = 200\n[alarms]"),
        ('stat = "target_mean"', 'stat = "count"'),
        ('use = "linear"', 'use = "naive_bayes"'),
        (
            "[[watch]]",
            '[[challengers]]\nname = "tree"\nuse = "hoeffding_tree"\nparams = { grace_period = 5 }\n[[watch]]',
        ),
    ],
    "steps and sampling": [
        ('use = "linear"', 'use = "river.linear_model.LogisticRegression"\n' + STEPS_AND_SAMPLING),
        ("[[watch]]", '[[challengers]]\nname = "weighted"\nparams = { class_weight = "balanced" }\n[[watch]]'),
        ("[[watch]]", '[[challengers]]\nname = "tree"\nuse = "river.tree.HoeffdingTreeClassifier"\n' + PROJECTED),
    ],
    "auto": [('use = "linear"', AUTO), LOOP],
    "auto, multiclass, beside another": [
        ('type = "binary"', 'type = "multiclass"\nmax_classes = 3'),
        ('signal = "prediction"\ndetector = "ks"', 'signal = "prediction"\ndetector = "psi"'),
        ("params = { window = 40 }\narl0 = 200\n[alarms]", "arl0 = 200\n[alarms]"),
        ('stat = "target_mean"', 'stat = "count"'),
        ("[[watch]]", f'[[challengers]]\nname = "chosen"\n{AUTO}\n[[watch]]'),
    ],
    "a watch on the estimated error": [ESTIMATE_WATCHED],
    "challenge": [LOOP, CHALLENGER],
    "fine-tune, a river model": [
        (LOOP[0], LOOP[1].replace("challenge", "fine-tune")),
        ('use = "linear"', 'use = "river.tree.HoeffdingTreeClassifier"'),
    ],
    "A/B": [CHALLENGER, AB],
    "A/B with whatever asks to be promoted": [LOOP, CHALLENGER, (AB[0], AB[1].replace("slow", "candidate"))],
    "A/B of a regression, by id": [
        CHALLENGER,
        (AB[0], AB[1].replace("share", 'by = "id"\nsalt = "x"\nshare')),
        ('type = "binary"', 'type = "regression"'),
        (
            'detector = "page_hinkley"\nparams = { warm_up = 50 }\narl0 = 200\nby = "c"',
            'detector = "ks"\nreference = "100 events"\narl0 = 200\nby = "c"',
        ),
    ],
    "no time": [
        ('time = "t"\n', ""),
        ('label_time = "ly"\n', ""),
        ("500ms", "7 events"),
        ('cooldown = "1s"', 'cooldown = "30 events"'),
        ('group = "100ms"', 'group = "10 events"'),
        ('cooldown = "2s"', 'cooldown = "20 events"'),
        ('[[watch]]\nsignal = "key:*"\ndetector = "page_hinkley"\narl0 = 1000\n', ""),
        ('[[watch]]\nsignal = "label_delay"\ndetector = "page_hinkley"\narl0 = 1000\n', ""),
        ('[[watch]]\nsignal = "overdue"\ndetector = "adwin"\narl0 = 200\nby = "c"\nmax_segments = 2\n', ""),
    ],
}


def variant(name: str):
    text = SMALL
    for old, new in VARIANTS[name]:
        assert old in text
        text = text.replace(old, new, 1)
    return parse(text, "small.toml", {})


def encoded(pipeline: Pipeline) -> bytes:
    return snapshots.encode(pipeline.snapshot(), config_digest="d", key=KEY)


@pytest.mark.parametrize("name", VARIANTS)
def test_whole_is_one_by_one_is_any_cut(name: str) -> None:
    config = variant(name)
    stream = made_stream(seed=1, events=150)
    whole, pipeline = run_in_cuts(config, stream, [])

    one_by_one, other = run_in_cuts(config, stream, list(range(len(stream))))

    assert one_by_one == whole
    assert not differences(other.snapshot(), pipeline.snapshot())


@settings(max_examples=16)
@given(
    st.sampled_from(CUT_AT_RANDOM),
    st.integers(0, 1000),
    st.data(),
)
def test_random_cuts_change_nothing(name: str, seed: int, data: st.DataObject) -> None:
    config = variant(name)
    stream = made_stream(seed, events=300)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=12))

    whole, pipeline = run_in_cuts(config, stream, [])
    cut, other = run_in_cuts(config, stream, cuts)

    assert cut == whole
    assert not differences(other.snapshot(), pipeline.snapshot())


def test_the_stream_of_these_tests_has_everything_in_it() -> None:
    """Or the properties above would hold of nothing."""
    found, pipeline = run_in_cuts(variant("as it is"), made_stream(seed=1, events=1500), [])
    statuses = {value.decode().split('"status":"')[1].split('"')[0] for *_, value in found["alerts"]}
    reasons = b" ".join(value for *_, value in found["dead-letters"])

    assert statuses >= {"opened", "recovered"}
    assert found["triggers"]
    assert found["audit"]
    assert found["panes"]
    assert found["features"]
    assert pipeline.measure.counts["expired"] > 0
    for reason in (b"not JSON", b"seen before", b"already has its label", b"after task.label_timeout", b"no event"):
        assert reason in reasons


@pytest.mark.parametrize(("number", "name"), list(enumerate(VARIANTS)), ids=VARIANTS)
def test_restored_at_every_record_the_rest_is_the_same(number: int, name: str) -> None:
    """Each variant at the first records and at every seventh, from another one on: no record is left out."""
    config = variant(name)
    stream = made_stream(seed=2, events=120)
    whole, pipeline = run_in_cuts(config, stream, [])
    expected = pipeline.snapshot()
    before = Pipeline(config)
    for k in range(len(stream)):
        if k < config.engine.epoch or (k + number) % 7 == 0:
            state = snapshots.decode(encoded(before), config_digest="d", key=KEY)
            resumed = Pipeline(config)
            resumed.restore(state)
            rest, end = run_in_cuts_after(config, stream, k, resumed)
            for kind, records in rest.items():
                assert records == whole.get(kind, [])[len(whole.get(kind, [])) - len(records) :]
            assert not differences(end.snapshot(), expected)
        before.handle(tape_of(config, stream[k : k + 1], stream[:k]))


def run_in_cuts_after(config, stream, k: int, pipeline: Pipeline):
    out = pipeline.handle(tape_of(config, stream[k:], stream[:k]))
    return flat([out]), pipeline


def test_two_runs_give_the_same_bytes() -> None:
    config = variant("river models")
    stream = made_stream(seed=3, events=300)

    first, one = run_in_cuts(config, stream, [])
    second, two = run_in_cuts(config, stream, [])
    for found in (first, second):
        del found["archive"]  # pickles of equal models may differ

    assert first == second
    assert not differences(one.snapshot(), two.snapshot())


@settings(max_examples=200)
@given(st.lists(st.tuples(st.sampled_from((EVENT, LABEL)), st.binary(max_size=60)), max_size=20))
def test_no_bytes_raise_and_each_refused_record_is_a_dead_letter(records: list[tuple[int, bytes]]) -> None:
    found, pipeline = run_in_cuts(variant("as it is"), records, [])

    accepted = len(found["predictions"])
    assert accepted + len(found.get("dead-letters", [])) + len(pipeline.join.early) >= len(records) - accepted
    assert pipeline.records == len(records)


values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.lists(st.integers(), max_size=2)
)


@settings(max_examples=150)
@given(st.lists(st.dictionaries(st.sampled_from(("id", "t", "who", "a", "b", "c", "y", "ly")), values), max_size=25))
def test_no_json_document_raises_or_poisons_what_follows(rows: list[dict[str, object]]) -> None:
    config = variant("as it is")
    odd = [(EVENT, json.dumps(row).encode()) for row in rows]
    good = made_stream(seed=5, events=30)

    found, _ = run_in_cuts(config, odd + good, [])
    last = found["predictions"][-1:]

    assert all(b'"score":null' not in value for value in last)


def test_memory_is_bounded_by_the_configuration() -> None:
    config = variant("as it is")
    stream = made_stream(seed=6, events=2400)
    pipeline = Pipeline(config)
    sizes = []
    tracemalloc.start()
    for k in range(0, len(stream), 500):
        pipeline.handle(tape_of(config, stream[k : k + 500], stream[:k]))
        sizes.append((tracemalloc.get_traced_memory()[0], len(encoded(pipeline))))
    tracemalloc.stop()

    assert sizes[-1][1] < 1.3 * sizes[len(sizes) // 2][1]
    assert sizes[-1][0] < 1.3 * sizes[len(sizes) // 2][0]


def test_a_story_tells_where_an_event_stands() -> None:
    config = variant("as it is")
    pipeline = Pipeline(config)
    records = [
        (EVENT, b'{"id": "one", "t": 1000, "who": "p", "a": 1, "b": 2, "c": "x", "y": 1}'),
        (EVENT, b'{"id": "two", "t": 1001, "who": "p", "a": 1, "b": 2, "c": "x"}'),
        (LABEL, b'{"id": "three", "y": 1, "ly": 1002}'),
    ]
    pipeline.handle(tape_of(config, records))

    assert pipeline.story("one")["status"] == "labelled"
    assert pipeline.story("two")["status"] == "waiting for its label"
    assert pipeline.story("two")["inputs"][:2] == [1.0, 2.0]
    assert pipeline.story("three")["status"] == "label waits for its event"
    assert pipeline.story("four")["status"] == "not among the ids remembered"


def test_decisions_take_effect_at_the_epoch_boundary() -> None:
    config = variant("as it is")
    stream = [
        (EVENT, b'{"id": "%d", "t": %d, "who": "p", "a": 1, "b": 2, "c": "x", "y": 1}' % (i, i)) for i in range(40)
    ]
    stream.insert(5, (2, b'{"command": "reset"}'))
    found, _ = run_in_cuts(config, stream, [])
    versions = [b'"model":"v2"' in value for value in found["predictions"]]

    assert versions.index(True) == config.engine.epoch - 1  # the command is one of the sixteen records


@pytest.mark.parametrize("seed", range(3))
def test_order_within_an_instant_is_the_tapes(seed: int) -> None:
    """Shuffled junk between good records leaves the good ones' predictions alone."""
    config = variant("notify, no feedback")
    good = [
        (EVENT, b'{"id": "%d", "t": %d, "who": "p", "a": %d, "b": 2, "c": "x", "y": 1}' % (i, i, i % 5))
        for i in range(60)
    ]
    rng = random.Random(seed)
    mixed = list(good)
    for _ in range(30):
        mixed.insert(rng.randrange(len(mixed)), (EVENT, rng.randbytes(12)))

    clean, _ = run_in_cuts(config, good, [])
    dirty, _ = run_in_cuts(config, mixed, [])

    strip = [value.split(b',"offset"')[0] for value in clean["predictions"]]
    assert [value.split(b',"offset"')[0] for value in dirty["predictions"]] == strip


def test_the_streams_of_the_loop_have_everything_of_it_in_them() -> None:
    """Or the properties above would hold of no promotion."""
    models, audit = [], []
    for seed in range(4):
        found, _ = run_in_cuts(variant("challenge"), made_stream(seed, events=1500), [])
        models += [json.loads(value) for *_, value in found["models"]]
        audit += [json.loads(value) for *_, value in found["audit"]]

    assert {model["status"] for model in models} == {"champion", "challenger", "candidate", "predecessor", "archived"}
    assert {"initial", "configured", "fresh"} <= {model["kind"] for model in models}
    assert {"promote", "rollback", "retire", "retrain"} <= {entry["what"] for entry in audit}
