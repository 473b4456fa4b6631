"""The configuration: what is read, and that every mistake is reported at once with its path and a way out."""

import msgspec
import pytest

from stream_app.config import Budget, Sampling, Step, Window, arl0_of, digest, load, parse, signals
from stream_app.errors import ConfigError

FLIGHTS = """
name = "flights"

[source]
events = "flights.csv.gz"

[schema]
id = "id"
time = "event_time"
key = "carrier"
label = "late"
label_time = "label_time"
[schema.fields]
distance = { type = "number", min = 0, unit = "mile" }
dep_delay = { type = "number", required = false }
carrier = { type = "category" }
origin = { type = "category", values = ["EWR", "JFK", "LGA"] }

[task]
type = "binary"
label_timeout = "2d"

[[features]]
name = "carrier_delay_1h"
stat = "mean"
of = "dep_delay"
by = "carrier"
over = "1h"

[model]
use = "linear"

[[challengers]]
name = "tree"
use = "river.tree.HoeffdingAdaptiveTreeClassifier"
params = { seed = 7 }

[[watch]]
signal = "feature:*"
detector = "ks"
reference = "10000 events"
by = "origin"

[[watch]]
signal = "error"
detector = "adwin"

[alarms]
budget = "1 per 1000000 events"
cooldown = "6h"

[retrain]
on = ["feature:distance"]
"""


def config_of(text=FLIGHTS, environ=None):
    return parse(text, "flights.toml", environ or {})


def problems_of(text, environ=None):
    with pytest.raises(ConfigError) as caught:
        config_of(text, environ)
    return caught.value.problems


def changed(*changes):
    """The flights configuration with texts replaced: (old, new) pairs."""
    text = FLIGHTS
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def test_a_configuration_is_read():
    config = config_of()

    assert config.task.label_timeout_ms == 2 * 86_400_000
    assert config.alarms.budget == Budget(1.0, 1_000_000)
    assert config.features[0].over == Window(duration_ms=3_600_000)
    assert config.watch[0].reference == Window(events=10_000)
    assert list(config.schema.fields) == ["distance", "dep_delay", "carrier", "origin"]
    assert config.schema.fields["distance"].min == 0.0
    assert isinstance(config.schema.fields["distance"].min, float)
    assert config.schema.fields["origin"].values == ("EWR", "JFK", "LGA")
    assert config.challengers[0].params == {"seed": 7}


def test_steps_and_sampling_are_read():
    model = config_of(
        changed(
            (
                'use = "linear"',
                stepped(TREE, 'only = ["number", "origin", "carrier_delay_1h"]\nkeep = true')
                + '\n[model.sampling]\nuse = "river.imblearn.RandomSampler"\nparams = { desired_dist = { "0" = 0.5 } }',
            )
        )
    ).model

    assert model.steps == (
        Step(use="river.preprocessing.StandardScaler", only=("number", "origin", "carrier_delay_1h"), keep=True),
    )
    assert model.sampling == Sampling(use="river.imblearn.RandomSampler", params={"desired_dist": {"0": 0.5}})


def test_all_mistakes_are_reported_at_once():
    found = problems_of(
        changed(
            ('name = "flights"', 'nam = "flights"'),
            ("min = 0", 'min = "0"'),
            ('label_timeout = "2d"', 'label_timeout = "2 days"'),
            ('of = "dep_delay"', 'of = "dep_dely"'),
            ('detector = "ks"', 'detektor = "ks"'),
            ('detector = "adwin"', 'detector = "adwn"'),
            ('on = ["feature:distance"]', 'on = ["erorr"]'),
        )
    )

    assert [problem.partition(": ")[0] for problem in found] == [
        "$.nam",
        "$.schema.fields.distance.min",
        "$.task.label_timeout",
        "$.watch[0].detektor",
        "$.features[0].of",
        "$.watch[1].detector",
        "$.retrain.on[0]",
    ]
    assert found[0] == '$.nam: unknown key; did you mean "name"?'
    assert found[1] == '$.schema.fields.distance.min: expected a number, got "0"'
    assert found[4].endswith('did you mean "dep_delay"?')
    assert found[5].startswith('$.watch[1].detector: unknown detector "adwn"; known: adwin, ')
    assert found[5].endswith('did you mean "adwin"?')
    assert found[6].endswith('did you mean "error"?')


TREE = "river.tree.HoeffdingTreeClassifier"


def stepped(use, more=""):
    """A model behind one step, with more written into the step."""
    return f'use = "{use}"\n[[model.steps]]\nuse = "river.preprocessing.StandardScaler"\n{more}'


# (old, new) of one mistake in the flights configuration → the path of the one problem, and a word of its message
MISTAKES = [
    # types
    ('name = "flights"', "name = 5", "$.name", 'expected text, got 5; write "5"'),
    ('name = "flights"', "", "$.name", "missing"),
    ('name = "flights"', 'name = "fl/ights"', "$.name", "bad name"),
    ("required = false", "required = 0", "$.schema.fields.dep_delay.required", "expected true or false, got 0"),
    ("min = 0", "min = nan", "$.schema.fields.distance.min", "expected a number, got nan"),
    ("min = 0", "min = true", "$.schema.fields.distance.min", "expected a number, got true"),
    ("min = 0", "min = [0]", "$.schema.fields.distance.min", "expected a number, got an array"),
    ('{ type = "category" }', '"category"', "$.schema.fields.carrier", "expected a table"),
    ('type = "number", min', 'type = "numbr", min', "$.schema.fields.distance.type", 'did you mean "number"?'),
    ('values = ["EWR", "JFK", "LGA"]', "values = [1]", "$.schema.fields.origin.values[0]", 'write "1"'),
    ('stat = "mean"', 'stat = "meen"', "$.features[0].stat", 'did you mean "mean"?'),
    ('stat = "mean"', "", "$.features[0].stat", "missing"),
    ("[alarms]", "[engine]\nepoch = 2.5\n[alarms]", "$.engine.epoch", "expected a whole number, got 2.5"),
    ("[alarms]", f"[engine]\nepoch = {10**30}\n[alarms]", "$.engine.epoch", "too large"),
    ("[alarms]", "[[alarm]]\nx = 1\n[alarms]", "$.alarm", "unknown key"),
    ("[alarms]", 'panes = "1h"\n[alarms]', "$.watch[1].panes", "unknown key"),
    # durations, windows, the budget
    ('cooldown = "6h"', "cooldown = 6", "$.alarms.cooldown", 'bad window "6"; write for example'),
    ('cooldown = "6h"', 'cooldown = "-6h"', "$.alarms.cooldown", "bad window"),
    ('cooldown = "6h"', 'cooldown = "rolling 5 events"', "$.alarms.cooldown", "rolling is for"),
    ('label_timeout = "2d"', "label_timeout = 2", "$.task.label_timeout", 'bad duration "2"; write for example'),
    ('over = "1h"', "over = 500", "$.features[0].over", 'bad window "500"; write for example "500 events"'),
    ('over = "1h"', "over = [500]", "$.features[0].over", "expected text, got an array"),
    ('over = "1h"', 'over = "500"', "$.features[0].over", "bad window"),
    ('over = "1h"', 'over = "0 events"', "$.features[0].over", "more than 0"),
    ('over = "1h"', 'over = "rolling 5 events"', "$.features[0].over", "rolling is for"),
    ('"1 per 1000000 events"', '"1 in 1000000"', "$.alarms.budget", "bad budget"),
    ('"1 per 1000000 events"', '"0 per 1000000 events"', "$.alarms.budget", "bad budget"),
    # schema
    ('id = "id"', 'id = "late"', "$.schema.label", "also schema.id"),
    ("distance = {", 'late = { type = "category" }\ndistance = {', "$.schema.fields.late", "the label"),
    ("min = 0", "min = 3, max = 2", "$.schema.fields.distance.min", "3 is more than max, 2"),
    ('{ type = "category" }', '{ type = "category", min = 1 }', "$.schema.fields.carrier.min", "no range"),
    ('["EWR", "JFK", "LGA"]', "[]", "$.schema.fields.origin.values", "is empty"),
    ('["EWR", "JFK", "LGA"]', '["EWR", "EWR"]', "$.schema.fields.origin.values[1]", "twice"),
    ('key = "carrier"', 'key = "distance"', "$.schema.key", "number field"),
    # task
    ('label_timeout = "2d"', 'classes = ["a"]', "$.task.classes", "two, (negative, positive), got 1"),
    ('label_timeout = "2d"', "max_classes = 1", "$.task.max_classes", "at least 2"),
    ('label_timeout = "2d"', 'label_timeout = "0s"', "$.task.label_timeout", "more than 0"),
    ('type = "binary"', 'type = "regression"', "$.challengers[0].use", "does not fit"),
    # features
    ('of = "dep_delay"', 'of = "origin"', "$.features[0].of", "mean needs a number field"),
    ('of = "dep_delay"', "", "$.features[0].of", "missing: of which field"),
    ('stat = "mean"', 'stat = "target_mean"', "$.features[0].of", "remove of"),
    ('of = "dep_delay"', 'of = "dep_delay"\nq = 1', "$.features[0].q", "between 0 and 1"),
    ('by = "carrier"', 'by = "distance"', "$.features[0].by", "number field"),
    ('by = "carrier"', 'by = "carier"', "$.features[0].by", 'did you mean "carrier"?'),
    ('"carrier_delay_1h"', '"carrier delay"', "$.features[0].name", "bad name"),
    ('"carrier_delay_1h"', '"distance"', "$.features[0].name", "already a field"),
    # models
    ('use = "linear"', 'use = "linea"', "$.model.use", 'did you mean "linear"?'),
    ('use = "linear"', 'use = "hoefding_tree"', "$.model.use", 'did you mean "hoeffding_tree"?'),
    ('use = "linear"', 'use = "sklearn.svm.SVC"', "$.model.use", "unknown model"),
    ('use = "linear"', 'use = "os.system"', "$.model.use", "unknown model"),
    ('use = "linear"', 'use = "river.linear_model.LinearRegression"', "$.model.use", "does not fit"),
    ('use = "linear"', 'use = "river.anomaly.HalfSpaceTrees"', "$.model.use", "does not fit"),
    # watches
    ('signal = "error"', 'signal = "eror"', "$.watch[1].signal", 'did you mean "error"?'),
    ('signal = "error"', 'signal = "feature:distanse"', "$.watch[1].signal", 'did you mean "distance"?'),
    ('signal = "error"', 'signal = "missing:distance"', "$.watch[1].signal", "required"),
    ('signal = "error"', 'signal = "key:"', "$.watch[1].signal", "unknown signal"),
    ('signal = "error"', 'signal = "feature:origin"', "$.watch[1].detector", "adwin cannot watch"),
    ('signal = "error"', 'signal = "key"', "$.watch[1].detector", "use one of: "),
    ('by = "origin"', 'by = "distance"', "$.watch[0].by", "number field"),
    ('by = "origin"', "max_segments = 0", "$.watch[0].max_segments", "more than 0"),
    ('by = "origin"', "arl0 = 0", "$.watch[0].arl0", "more than 0"),
    ('detector = "ks"', 'detector = "rank"', "$.watch[0].reference", "no reference"),
    ('"10000 events"', '"2000000 events"', "$.watch[0].reference", "engine.max_values"),
    ('detector = "adwin"', 'detector = "adwin"\nreference = "9 events"', "$.watch[1].reference", "no reference"),
    ('detector = "adwin"', 'detector = "adwin"\nparams = { dleta = 1 }', "$.watch[1].params.dleta", '"delta"?'),
    ('detector = "adwin"', 'detector = "adwin"\nparams = { delta = 7 }', "$.watch[1].params.delta", "delta: "),
    ('detector = "adwin"', 'detector = "adwin"\nparams = { delta = "x" }', "$.watch[1].params.delta", "'x'"),
    (
        'detector = "adwin"',
        'detector = "adwin"\narl0 = 1e9\nparams = { delta = 0.002 }',
        "$.watch[1].arl0",
        "no effect beside delta",
    ),
    (
        'signal = "error"',
        'signal = "lateness"\ndetector = "ddm"\n[[watch]]\nsignal = "error"',
        "$.watch[1].detector",
        "ddm",
    ),
    (
        'detector = "adwin"',
        'detector = "ewma"\nparams = { direction = "sideways" }',
        "$.watch[1].params.direction",
        "'sideways'",
    ),
    (
        'detector = "adwin"',
        'detector = "adwin"\nparams = { direction = "up" }',
        "$.watch[1].params.direction",
        "parameter of adwin",
    ),
    ('detector = "adwin"', 'detector = "adwin"\nparams = { arl0 = 7 }', "$.watch[1].params.arl0", "beside params"),
    # alarms and retraining
    ("[retrain]", "[[alarms.notify]]\n[retrain]", "$.alarms.notify[0]", "missing"),
    ('signal = "error"', 'arl0 = 500000\nsignal = "error"', "$.alarms.budget", "spend 2 of 1 per 1000000 events"),
    ('on = ["feature:distance"]', 'on = ["error", "error"]', "$.retrain.on[1]", "twice"),
    ('on = ["feature:distance"]', 'on = ["rejects"]', "$.retrain.on[0]", "not watched"),
    ('on = ["feature:distance"]', 'on = ["missing:*"]', "$.retrain.on[0]", "not watched"),
    # engine and the rest
    ("[alarms]", "[measure]\nevery = 1000\n[alarms]", "$.measure.every", "the nearest is 1024"),
    ("[alarms]", "[engine]\nmax_keys = 0\n[alarms]", "$.engine.max_keys", "more than 0"),
    ("[alarms]", "[engine]\nepoch = 0\n[alarms]", "$.engine.epoch", "more than 0"),
    ("[alarms]", "[engine]\nseed = -1\n[alarms]", "$.engine.seed", "negative"),
    ("[alarms]", '[panes]\nwidth = "0s"\n[alarms]', "$.panes.width", "more than 0"),
    ('events = "flights.csv.gz"', "", "$.source.events", "missing"),
    ('events = "flights.csv.gz"', 'events = "-"\nlabels = "-"', "$.source.labels", "standard input"),
    ('events = "flights.csv.gz"', 'events = "x"\ndelimiter = ";;"', "$.source.delimiter", "one character"),
    ('events = "flights.csv.gz"', 'events = "x"\nformat = "xml"', "$.source.format", "known: auto, csv"),
]


@pytest.mark.parametrize(("old", "new", "path", "word"), MISTAKES, ids=[f"{m[2]}-{m[3]}" for m in MISTAKES])
def test_one_mistake_is_one_problem_at_its_path(old, new, path, word):
    (problem,) = problems_of(changed((old, new)))

    assert problem.startswith(f"{path}: ")
    assert word in problem


@pytest.mark.parametrize("detector", ["ewma", "cusum", "glr", "e_detector", "conformal"])
def test_a_watch_for_a_rise_only(detector):
    params = 'params = { direction = "up" }'
    config = config_of(changed(('detector = "adwin"', f'detector = "{detector}"\n{params}')))

    assert config.watch[1].params == {"direction": "up"}


def test_without_time_there_are_no_durations():
    found = problems_of(
        changed(
            ('time = "event_time"\n', ""),
            ('label_time = "label_time"\n', ""),
            ('signal = "error"', 'signal = "lateness"'),
        )
    )

    assert found == [
        "$.features[0].over: no time: use N events, or name schema.time",
        '$.watch[1].signal: no time: "lateness" needs schema.time',
        "$.alarms.cooldown: no time: use N events, or name schema.time",
    ]


def test_labels_are_needed_unless_the_task_is_anomaly():
    without = (('label = "late"\n', ""), ('label_time = "label_time"\n', ""))

    found = problems_of(changed(*without))
    assert [problem.partition(": ")[0] for problem in found] == ["$.schema.label", "$.watch[1].signal"]

    found = problems_of(changed(without[0]))
    assert "$.schema.label_time: there is no schema.label whose time it could be" in found

    config = config_of(
        changed(
            *without,
            ('type = "binary"', 'type = "anomaly"'),
            ('use = "linear"', 'use = "river.preprocessing.MinMaxScaler | river.anomaly.HalfSpaceTrees"'),
            ('use = "river.tree.HoeffdingAdaptiveTreeClassifier"', 'use = "river.anomaly.OneClassSVM"'),
            ('signal = "error"', 'signal = "prediction"'),
            ('on = ["feature:distance"]', 'on = ["prediction", "feature:*"]'),
        )
    )
    assert signals(config)[-1] == (1, "prediction", "number")


def test_labels_of_a_second_stream_need_an_id():
    found = problems_of(changed(('id = "id"\n', ""), ("[schema]", 'labels = "landings.csv"\n[schema]')))

    assert [problem.partition(",")[0] for problem in found] == [
        "$.source.labels: labels from a second stream need schema.id"
    ]


def test_broken_tables_do_not_hide_or_invent_other_problems():
    found = problems_of('schema = 5\nwatch = ["error", { signal = "error", detector = "kss" }]')

    assert [problem.partition(": ")[0] for problem in found] == [
        "$.name",
        "$.schema",
        "$.watch[0]",
        "$.watch[1].detector",
    ]


def test_environment_variables_are_filled_into_strings():
    text = changed(('events = "flights.csv.gz"', 'events = "${DATA}/$${DATA}/$x/${DATA}.csv"'))

    assert config_of(text, {"DATA": "d"}).source.events == "d/${DATA}/$x/d.csv"
    assert problems_of(text) == [
        '$.source.events: environment variable "DATA" is not set; a literal ${ is written $${'
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ('name = "x"\nschema = = 5', "line 2, column 10: "),
        ('name = "x', "line 1, column 10: "),
        ("a = 1\na = 2", "line 2, column 6: "),
        ("a = " + "[" * 5000, "arrays or tables are nested too deeply"),
        (f"{'a.' * 5000}a = 1", "arrays or tables are nested too deeply"),
    ],
)
def test_text_that_is_not_toml_is_one_problem_with_its_place(text, start):
    (problem,) = problems_of(text)

    assert problem.startswith(start)


def test_a_missing_file_names_the_nearest_sibling(tmp_path):
    (tmp_path / "flights.toml").write_text(FLIGHTS)

    with pytest.raises(ConfigError, match=r'no such file; did you mean "flights.toml"\?'):
        load(tmp_path / "flihgts.toml")
    with pytest.raises(ConfigError, match="no such file"):
        load(tmp_path / "nowhere" / "flights.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)


def test_load_puts_sources_beside_the_file_and_takes_a_byte_order_mark(tmp_path):
    (tmp_path / "bom.toml").write_bytes(b"\xef\xbb\xbf" + FLIGHTS.encode())
    (tmp_path / "stdin.toml").write_text(changed(("flights.csv.gz", "-")))
    (tmp_path / "latin.toml").write_bytes(FLIGHTS.replace("mile", "mïle").encode("latin-1"))

    assert load(tmp_path / "bom.toml").source.events == str(tmp_path / "flights.csv.gz")
    assert load(tmp_path / "stdin.toml").source.events == "-"
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(tmp_path / "latin.toml")


def test_wildcards_expand_to_what_the_detector_fits_in_schema_order():
    config = config_of(
        changed(
            ("[alarms]", '[[watch]]\nsignal = "feature:*"\ndetector = "psi"\n[alarms]'),
            ("[alarms]", '[[watch]]\nsignal = "missing:*"\ndetector = "page_hinkley"\n[alarms]'),
            ("[alarms]", '[[watch]]\nsignal = "key:*"\ndetector = "adwin"\n[alarms]'),
        )
    )

    assert signals(config) == [
        (0, "feature:distance", "number"),
        (0, "feature:dep_delay", "number"),
        (0, "feature:carrier_delay_1h", "number"),
        (1, "error", "number"),
        (2, "feature:distance", "number"),
        (2, "feature:dep_delay", "number"),
        (2, "feature:carrier", "category"),
        (2, "feature:origin", "category"),
        (2, "feature:carrier_delay_1h", "number"),
        (3, "missing:dep_delay", "number"),
        (4, "key:*", "number"),
    ]


def test_a_wildcard_that_fits_nothing_is_a_problem():
    found = problems_of(
        changed(
            (", required = false", ""),
            ("[alarms]", '[[watch]]\nsignal = "missing:*"\ndetector = "adwin"\n[alarms]'),
        )
    )

    assert found == ['$.watch[2].signal: "missing:*" watches nothing: no field has required = false']


def test_a_reference_of_a_stretch_of_time_needs_times():
    timed = ('"10000 events"', '"1h"')

    assert config_of(changed(timed)).watch[0].reference == Window(duration_ms=3_600_000)
    assert "$.watch[0].reference: no time: use N events, or name schema.time" in problems_of(
        changed(timed, ('time = "event_time"\n', ""))
    )


def test_categories_have_no_season():
    watch = '[[watch]]\nsignal = "feature:origin"\ndetector = "g_test"\nseason = "hour-of-day"\n[alarms]'
    (found,) = problems_of(changed(("[alarms]", watch)))

    assert found.startswith("$.watch[2].season: season: categories have no seasonal mean")


def test_the_budget_is_split_over_the_expanded_signals():
    assert arl0_of(config_of()) == 4_000_000.0
    assert arl0_of(config_of(changed(("1 per", "2 per")))) == 2_000_000.0
    own = changed(('signal = "error"', 'arl0 = 4000000\nsignal = "error"'))
    assert arl0_of(config_of(own)) == pytest.approx(3 / (1e-6 - 0.25e-6))


def test_the_digest_changes_with_what_changes_the_outputs_only():
    base = digest(config_of())

    same = changed(
        ('events = "flights.csv.gz"', 'events = "other.csv"'),
        ('cooldown = "6h"', 'cooldown = "360m"'),
        ('cooldown = "360m"', 'cooldown = "360m"\nlag = "5m"'),
        ("[retrain]", '[[alarms.notify]]\nwebhook = "http://x/"\n[engine]\ncommit = "1s"\n[retrain]'),
    )
    assert digest(config_of(same)) == base
    for old, new in [
        ("min = 0", "min = 1"),
        ("seed = 7", "seed = 8"),
        ("{ seed = 7 }", '{ seed = 7 }\nsteps = [{ use = "river.preprocessing.StandardScaler" }]'),
        ("{ seed = 7 }", '{ seed = 7 }\nsampling.use = "river.imblearn.RandomSampler"'),
        ('over = "1h"', 'over = "2h"'),
        ('carrier = { type = "category" }\n', 'a = { type = "category" }\ncarrier = { type = "category" }\n'),
    ]:
        assert digest(config_of(changed((old, new)))) != base
    carrier = 'carrier = { type = "category" }\n'
    moved = changed((carrier, ""), ("[task]", carrier + "\n[task]"))
    assert digest(config_of(moved)) != base  # the order of the columns is the order of the model's inputs


def test_a_configuration_is_frozen():
    config = config_of()

    assert msgspec.to_builtins(config)["task"]["label_timeout"] == 172_800_000
    with pytest.raises(AttributeError):
        config.name = "other"


WEIRD = """5; -1; 0.5; nan; inf; true; ""; "x"; "*"; "0 events"; []; [[]]; [""]; {}; { a = 1 }; [{}]; [1e308, 1e308]
1979-05-27T07:32:00Z; "${UNSET}"; "feature:*"; "river..x|"; 1000000000000000000000000000000""".replace(
    "\n", "; "
).split("; ")


@pytest.mark.parametrize("weird", WEIRD)
def test_a_weird_value_anywhere_is_a_problem_or_a_configuration(weird):
    lines = FLIGHTS.splitlines()
    for at, line in enumerate(lines):
        key, equals, _ = line.partition(" = ")
        if equals:
            text = "\n".join([*lines[:at], f"{key} = {weird}", *lines[at + 1 :]])
            try:
                digest(config_of(text))
            except ConfigError as error:
                assert all(problem.startswith("$.") for problem in error.problems)  # noqa: PT017
