"""Arms: who gets what, stable and by hash; what was given out; the KPIs as a slow twin counts them."""

import json
from typing import Any

import numpy as np
import pytest
import xxhash
from chunks import TIMELESS, config_of, event, label, through
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from streams import made_stream, run_in_cuts, tape_of
from test_pipeline import variant

from stream_app.config import Ab, Config
from stream_app.flow.arms import Arms
from stream_app.flow.join import Kept
from stream_app.pipeline import Pipeline

SLOW = '[[challengers]]\nname = "slow"\nuse = "linear"\nparams = { lr = 0.001 }\n'
DULL = '[[challengers]]\nname = "slow"\nuse = "river.dummy.PriorClassifier"\n'
CONFIG = config_of(SLOW + '[ab]\nlane = "slow"\nshare = 0.4\n[measure]\nevery = 64\n[engine]\nepoch = 32\n')


def arms_of(share: float, *, salt: str = "", by: str | None = None) -> Arms:
    return Arms(structs.replace(CONFIG, ab=Ab(lane="slow", share=share, salt=salt, by=by)), Kept())


def assigned(arms: Arms, keys: list[str | None]) -> list[int]:
    config = structs.replace(CONFIG, ab=arms.ab)
    tape = tape_of(config, [event(f"e{i}", i, who=key) for i, key in enumerate(keys)])
    return [int(arm) for arm in arms.assign(tape.events)]


def in_b(name: str, share: float) -> bool:
    """The assignment of one name, exactly as the documents say."""
    return int(xxhash.xxh3_64_hexdigest(name.encode()), 16) < share * 2**64


# assignment


names = st.lists(st.text("abcdé 0", min_size=1, max_size=6).filter(str.strip), min_size=1, max_size=20)
shares = st.floats(0, 1, exclude_min=True, exclude_max=True)


@settings(max_examples=60, deadline=None)
@given(names, shares, shares, st.text(max_size=3))
def test_the_assignment_is_that_of_the_hash_and_grows_with_the_share(
    keys: list[str], one: float, other: float, salt: str
) -> None:
    small, large = sorted((one, other))
    of_small, of_large = assigned(arms_of(small, salt=salt), keys), assigned(arms_of(large, salt=salt), keys)

    assert of_small == [in_b(salt + key, small) for key in keys]
    assert all(a <= b for a, b in zip(of_small, of_large, strict=True))
    assert assigned(arms_of(small, salt=salt), keys[::-1])[::-1] == of_small


def test_the_share_is_about_that_of_the_keys_and_another_salt_gives_another() -> None:
    keys = [f"k{i}" for i in range(4000)]
    found = {salt: np.array(assigned(arms_of(0.1, salt=salt), keys)) for salt in ("", "x", "y")}

    assert all(0.08 < arm.mean() < 0.12 for arm in found.values())
    assert 0.005 < (found["x"] & found["y"]).mean() < 0.015


def test_a_key_stays_in_its_arm_and_an_event_without_one_goes_by_its_id() -> None:
    keys = ["p", None, "q", "p", None, "q"]

    by_key, by_id = assigned(arms_of(0.5), keys), assigned(arms_of(0.5, by="id"), keys)
    assert by_key == [in_b(key or f"e{i}", 0.5) for i, key in enumerate(keys)]
    assert by_id == [in_b(f"e{i}", 0.5) for i in range(len(keys))]
    without = structs.replace(CONFIG, schema=structs.replace(CONFIG.schema, key=None))
    assert (arms_of(0.5).by, Arms(without, Kept()).by) == ("key", "id")


# serving


def labelled(n: int, seed: int = 3) -> list[tuple[int, bytes]]:
    generator = np.random.default_rng(seed)
    drawn = zip(generator.normal(size=n), generator.integers(0, 40, n), strict=True)
    return [event(f"e{i}", i, a=float(x), c="x", who=f"k{key}", y=int(x > 0)) for i, (x, key) in enumerate(drawn)]


def predictions(out: Any) -> list[dict[str, Any]]:
    return [json.loads(value) for block in out.predictions for value in block.values()]


def test_each_arm_gets_its_models_predictions_in_the_order_of_events() -> None:
    stream = labelled(300)
    chunk, pipeline = through(CONFIG, stream)
    given = predictions(chunk.out)

    assert [each["id"] for each in given] == [f"e{i}" for i in range(300)]
    arms = [each["arm"] for each in given]
    assert arms == ["B" if in_b(json.loads(raw)["who"], 0.4) else "A" for _, raw in stream]
    expected = np.where(np.array(arms) == "B", chunk.scores[1][:, 0], chunk.scores[0][:, 0])
    assert [each["score"] for each in given] == expected.tolist()
    assert [each["model"] for each in given] == ["v2" if arm == "B" else "v1" for arm in arms]
    assert pipeline.score.names[1] == "slow"


def test_what_the_champion_is_told_by_is_its_own() -> None:
    """Errors, estimates and signals are the same with and without [ab]."""
    stream = made_stream(seed=4, events=1500)
    plain = variant("challenge")
    shared = structs.replace(plain, ab=Ab(lane="slow", share=0.5))
    without, one = run_in_cuts(plain, stream, [])
    found, other = run_in_cuts(shared, stream, [])

    for stream_name in ("outcomes", "alerts", "triggers", "panes", "dead-letters", "audit", "features"):
        assert found.get(stream_name) == without.get(stream_name)
    metrics = [each for each in found["metrics"] if each[1] != "ab"]
    assert metrics == without["metrics"]
    arms = {json.loads(value)["arm"] for value in found["predictions"]}
    assert arms == {"A", "B"}
    assert "arm" not in json.loads(without["predictions"][0])
    assert set(one.snapshot()["stages"]["join"]["kept"]) ^ set(other.snapshot()["stages"]["join"]["kept"]) == {
        "arm", "served",
    }  # fmt: skip


def test_an_empty_lane_and_a_model_that_says_nothing_leave_it_to_the_champion() -> None:
    empty = config_of(SLOW + '[ab]\nlane = "candidate"\nshare = 0.4\n')
    chunk, pipeline = through(empty, labelled(100), closes=True)
    given = predictions(chunk.out)

    assert {each["model"] for each in given} == {"v1"}
    assert {each["arm"] for each in given} == {"A", "B"}
    assert pipeline.score.arms.figures()["arms"]["B"]["version"] is None
    assert pipeline.score.arms.figures()["arms"]["A"]["events"] == 0

    config = config_of(DULL + '[ab]\nlane = "slow"\nshare = 0.4\n[task]\ntype = "multiclass"\n')
    chunk, pipeline = through(config, [event(f"e{i}", i, a=1.0, who=f"k{i}") for i in range(100)])
    arm = pipeline.score.arms.figures()["arms"]["B"]
    assert {each["model"] for each in predictions(chunk.out)} == {"v1"}  # no class is known
    assert arm["fallback"] == arm["events"] > 20


# what came of it


def twin(config: Config, out: dict[str, list[Any]], truth: Any = float) -> dict[str, dict[str, list[float]]]:
    """Losses and labels of each arm, from the records of predictions and outcomes alone."""
    given = {each["offset"]: each for each in map(json.loads, out["predictions"])}
    arms: dict[str, dict[str, list[float]]] = {name: {"loss": [], "champion_loss": [], "label": []} for name in "AB"}
    for outcome in map(json.loads, out["outcomes"]):
        prediction = given[outcome["offset"]]
        mine = arms[prediction["arm"]]
        mine["label"].append(truth(outcome["label"]))
        if outcome["error"] is not None:
            mine["champion_loss"].append(outcome["error"])
        said = prediction["prediction"]
        if said is not None:
            wrong = said != outcome["label"]
            mine["loss"].append(abs(said - outcome["label"]) if config.task.type == "regression" else float(wrong))
    return arms


@pytest.mark.parametrize("name", ["A/B", "A/B of a regression, by id"])
def test_the_figures_are_those_of_a_slow_twin(name: str) -> None:
    config = variant(name)
    config = structs.replace(config, retrain=structs.replace(config.retrain, on=()))  # one comparison all along
    stream = [each for each in made_stream(seed=3, events=1500) if each[0] != 2]
    out, pipeline = run_in_cuts(config, stream, [])
    figures = pipeline.score.arms.figures()
    counted = twin(config, out)

    for arm, columns in counted.items():
        mine = figures["arms"][arm]
        given = [each for each in map(json.loads, out["predictions"]) if each["arm"] == arm]
        assert mine["events"] == len(given)
        assert mine["labels"] == len(columns["label"]) > 100
        assert mine["fallback"] == (sum(each["model"] == "v1" for each in given) if arm == "B" else 0)
        for kpi, x in columns.items():
            assert mine[kpi]["n"] == len(x)
            assert mine[kpi]["mean"] == pytest.approx(np.mean(x))
            low, high = mine[kpi]["interval"]
            assert low < np.mean(x) < high
    for kpi, gap in figures["difference"].items():
        assert gap["mean"] == pytest.approx(np.mean(counted["B"][kpi]) - np.mean(counted["A"][kpi]))
        assert gap["interval"][0] < gap["mean"] < gap["interval"][1]


def test_the_arm_of_a_late_label_is_that_of_its_prediction() -> None:
    events = [event(f"e{i}", i, a=1.0, who=f"k{i}") for i in range(50)]
    _, pipeline = through(CONFIG, events)
    _, pipeline = through(CONFIG, [label(f"e{i}", 1, 60 + i) for i in range(50)], pipeline)
    arms = pipeline.score.arms.figures()["arms"]

    assert arms["A"]["labels"] == arms["A"]["events"] == 50 - arms["B"]["events"]
    assert arms["B"]["labels"] == arms["B"]["events"] == sum(in_b(f"k{i}", 0.4) for i in range(50))


def test_another_model_begins_another_comparison_without_what_was_given_out_before() -> None:
    pipeline = Pipeline(CONFIG)
    before = [event(f"e{i}", i, a=1.0, who=f"k{i}") for i in range(31)]
    pipeline.handle(tape_of(CONFIG, [*before, (2, b'{"command": "promote", "version": "v2"}')]))
    after = [event(f"f{i}", 40 + i, a=1.0, who=f"k{i}", y=1) for i in range(20)]
    out = pipeline.handle(tape_of(CONFIG, [*[label(f"e{i}", 1, 40) for i in range(31)], *after], before))
    figures = pipeline.score.arms.figures()

    assert figures["since"] == 32
    assert [figures["arms"][name]["version"] for name in "AB"] == ["v2", None]  # the lane is empty now
    assert {each["model"] for each in predictions(out)} == {"v2"}
    assert figures["arms"]["A"]["labels"] == 0

    pipeline.handle(tape_of(CONFIG, [(2, b'{"command": "rollback"}')] * 1))
    pipeline.handle(tape_of(CONFIG, [event(f"g{i}", 90 + i, a=1.0, who=f"k{i}", y=1) for i in range(40)]))
    figures = pipeline.score.arms.figures()
    assert figures["arms"]["A"]["version"] == "v1"


def test_a_better_arm_is_found_and_named() -> None:
    """The lane's model sees no input, the champion does."""
    config = config_of(DULL + '[ab]\nlane = "slow"\nshare = 0.4\n')
    _, pipeline = through(config, labelled(3000))
    figures = pipeline.score.arms.figures()

    assert figures["better"] == "A"
    assert figures["labels_more"] == 0
    assert figures["difference"]["loss"]["interval"][0] > 0
    low, high = figures["difference"]["champion_loss"]["interval"]
    assert low < 0 < high


def test_of_anomalies_there_is_the_label_and_of_classes_the_loss() -> None:
    trees = 'use = "river.anomaly.HalfSpaceTrees"\n'
    text = f'[task]\ntype = "anomaly"\n[model]\n{trees}[[challengers]]\nname = "slow"\n{trees}[ab]\nlane = "slow"\n'
    stream = [event(f"e{i}", i, a=(i % 7) / 7, y=i % 2, who=f"k{i}") for i in range(60)]
    _, pipeline = through(config_of(text), stream)
    figures = pipeline.score.arms.figures()

    assert figures["difference"]["loss"] is None
    assert figures["better"] is figures["labels_more"] is None
    assert figures["arms"]["A"]["label"]["n"] > 30

    config = config_of(SLOW + '[ab]\nlane = "slow"\nby = "id"\n[task]\ntype = "multiclass"\n', TIMELESS)
    _, pipeline = through(config, [event(f"e{i}", i, a=1.0, y="pq"[i % 2]) for i in range(60)])
    figures = pipeline.score.arms.figures()
    assert figures["arms"]["A"]["label"] is None
    assert figures["arms"]["A"]["loss"]["n"] > 30
