"""The models of a configuration: steps, sampling, model choice, retraining; each mistake at its path."""

import pytest
from test_config import FLIGHTS, TREE, changed, config_of, problems_of, stepped

from stream_app.config import digest
from stream_app.errors import ConfigError

MISTAKES = [
    ('use = "linear"', stepped("linear"), "$.model.steps", "linear, which scales and one-hot encodes by itself"),
    ('use = "linear"', stepped(TREE, 'only = ["distanse"]'), "$.model.steps[0].only[0]", 'did you mean "distance"?'),
    ('use = "linear"', stepped(TREE, "keep = 1"), "$.model.steps[0].keep", "expected true or false"),
    ('use = "linear"', stepped(TREE, "params = 1"), "$.model.steps[0].params", "expected a table"),
    ('use = "linear"', stepped(TREE, 'onyl = ["origin"]'), "$.model.steps[0].onyl", 'did you mean "only"?'),
    ('use = "linear"', f'use = "{TREE}"\nsteps = [{{ use = "a.B" }}]', "$.model.steps[0].use", "bad class"),
    ('use = "linear"', f'use = "{TREE}"\nsteps = [{{ params = {{}} }}]', "$.model.steps[0].use", "missing"),
    (
        'use = "linear"',
        'sampling.use = "river.imblearn.RandomSampler"',
        "$.model.sampling",
        'class_weight = "balanced"',
    ),
    ('use = "linear"', f'use = "{TREE}"\nsampling.use = "x"', "$.model.sampling.use", "river.imblearn.RandomUnder"),
    ("params = { seed = 7 }", 'steps = [{ use = "river." }]', "$.challengers[0].steps[0].use", "bad class"),
    ('use = "linear"', 'use = "atuo"', "$.model.use", 'did you mean "auto"?'),
    *(
        ('use = "linear"', f'use = "auto"\nparams = {{ {params} }}', f"$.model.params.{path}", told)
        for params, path, told in (
            ("budgte = 5", "budgte", 'did you mean "budget"?'),
            ("budget = 5.5", "budget", "expected a whole number, got 5.5"),
            ("budget = 17", "budget", "must be at least 18 to try 7 models"),
            ("memory = 0", "memory", "more than 0"),
            ("models = []", "models", "is empty; name two or more"),
            ('models = [{ use = "linear" }]', "models", "one model leaves nothing to choose"),
            ('models = [{ use = "linear" }, { use = "auto" }]', "models[1].use", "auto cannot be one of the models"),
            ('models = [{ use = "linear" }, { use = "linear" }]', "models[1]", "is the same as models[0]"),
            ('models = [{ use = "linear" }, { use = "linea" }]', "models[1].use", 'did you mean "linear"?'),
            ('models = [{ use = "linear" }, { us = "linear" }]', "models[1].us", 'did you mean "use"?'),
            (
                'models = [{ use = "linear" }, { use = "river.linear_model.LinearRegression" }]',
                "models[1].use",
                "does not fit",
            ),
        )
    ),
    # shares
    ("[retrain]", '[ab]\nlane = "tre"\n[retrain]', "$.ab.lane", 'known: tree, candidate; did you mean "tree"?'),
    ("[retrain]", "[ab]\nshare = 0.1\n[retrain]", "$.ab.lane", "missing"),
    ("[retrain]", '[ab]\nlane = "tree"\nshare = 0\n[retrain]', "$.ab.share", "between 0 and 1, got 0"),
    ("[retrain]", '[ab]\nlane = "tree"\nshare = 1.0\n[retrain]', "$.ab.share", "between 0 and 1, got 1"),
    ("[retrain]", '[ab]\nlane = "tree"\nby = "user"\n[retrain]', "$.ab.by", "known: key, id"),
    # retraining
    ("[retrain]", "[retrain]\nleast = 0", "$.retrain.least", "at least 1"),
    ("[retrain]", "[retrain]\ncost = -1.0", "$.retrain.cost", "at least 0"),
    ("[retrain]", "[retrain]\npace = 0.0", "$.retrain.pace", "above 0"),
    ("[retrain]", "[retrain]\nconfidence = 1.0", "$.retrain.confidence", "below 1"),
    ("[retrain]", "[retrain]\ntrial = 200", "$.retrain.proof", "more than retrain.trial, 200"),
    ("[retrain]", '[retrain]\ngate = " "', "$.retrain.gate", "is empty"),
    ("[retrain]", '[retrain]\nlimit = "2 a day"', "$.retrain.limit", 'write for example "2 per 1d"'),
    ("[retrain]", '[retrain]\nlimit = "2 per rolling 10 events"', "$.retrain.limit", "leave out"),
    ('name = "tree"', 'name = "candidate"', "$.challengers[0].name", "name of another row"),
]


@pytest.mark.parametrize(("old", "new", "path", "word"), MISTAKES, ids=[f"{m[2]}-{m[3]}" for m in MISTAKES])
def test_one_mistake_is_one_problem_at_its_path(old: str, new: str, path: str, word: str) -> None:
    (problem,) = problems_of(changed((old, new)))

    assert problem.startswith(f"{path}: ")
    assert word in problem


def test_shares_need_somebody_to_share_with_a_key_and_labels() -> None:
    ab = '[ab]\nlane = "candidate"\nby = "key"\n[retrain]'
    alone = FLIGHTS[: FLIGHTS.index("[[challengers]]")] + FLIGHTS[FLIGHTS.index("[[watch]]") :]
    for text, found in [
        (alone.replace("[retrain]", ab).replace('on = ["feature:distance"]', ""), "$.ab.lane: no candidate ever comes"),
        (changed(('key = "carrier"', ""), ("[retrain]", ab)), "$.ab.by: there is no schema.key"),
        (changed(('label = "late"', ""), ("[retrain]", ab)), "$.ab: compares what was given out by the labels"),
    ]:
        with pytest.raises(ConfigError) as error:
            config_of(text)
        assert any(problem.startswith(found) for problem in error.value.problems), error.value.problems
    assert config_of(changed(("[retrain]", ab))).ab.share == 0.1


def test_shares_are_part_of_the_digest() -> None:
    shared = config_of(changed(("[retrain]", '[ab]\nlane = "tree"\n[retrain]')))

    assert digest(config_of()) != digest(shared)
    assert digest(config_of(changed(("[retrain]", '[ab]\nlane = "tree"\nsalt = "x"\n[retrain]')))) != digest(shared)
