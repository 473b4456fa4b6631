"""Profile: a sample of a file → a commented configuration that runs as it is (`driftline init`).

Nothing is asked and nothing is enforced that the sample merely suggests: ranges and categories stand as comments.
"""

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path

from stream_app.config import Source
from stream_app.edges.profile_columns import Column
from stream_app.edges.profile_roles import POSITIVE_WORDS, Roles, assign, lateness_ms
from stream_app.edges.sources import open_source
from stream_app.errors import SourceError

SAMPLE = 10_000  # records: enough for shares of 0.1 %, read in well under a second
DAY_MS = 86_400_000
NEW_SHARE = 0.001  # of new values in a category field, above which a new one is no news

Table = list[tuple[str, list[object]]]  # (name, cells) of each column, in order; a name may be there twice


def profile(path: str, named: str | None = None) -> str:
    """The text of a configuration for a CSV, JSON-lines or Parquet file; SourceError if there is nothing to profile.

    It names the file as `named`, which is its path from where the configuration will stand; None: as `path`.
    """
    if path == "-":
        raise SourceError("init reads a file, not standard input: save some records to a file first")
    columns, skipped = _sample(path)
    if not columns or not columns[0][1]:
        raise SourceError(f"{path}: nothing to profile: it holds no record that can be read")
    return describe(named or path, columns, skipped)


def describe(path: str, columns: Table, skipped: int = 0) -> str:
    """The text for a table of cells; `skipped` records could not be read."""
    sample = [Column(name, cells) for name, cells in columns]
    rows = len(sample[0].cells) if sample else 0
    if not rows:
        raise SourceError(f"{path}: nothing to profile: it holds no record that can be read")
    roles = assign(sample)
    fields = [column for column in sample if not column.out]
    if not fields:
        reasons = "; ".join(f"{column.name!r} {column.out}" for column in sample[:10])
        raise SourceError(f"{path}: nothing to profile: no column can be a field ({reasons})")
    parts = [
        _head(path, rows, skipped),
        _schema(roles),
        _fields(fields, rows),
        _left_out(sample, roles),
        _task(roles),
        _features(roles, fields),  # only as comments
        _model(roles),
        _watches(roles, fields),
        _alarms(roles),
        _engine(roles),
    ]
    return "\n".join(line for part in parts for line in [*part, ""]).rstrip() + "\n"


def toml_text(text: str) -> str:
    r"""A basic TOML string, with `${` kept from being taken for an environment variable.

    >>> print(toml_text('5" ${x}'))
    "5\" $${x}"
    """
    return json.dumps(text.replace("${", "$${"), ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_key(key: str) -> str:
    """A key, bare where it can be.

    >>> toml_key("distance"), toml_key("dep delay")
    ('distance', '"dep delay"')
    """
    bare = re.fullmatch(r"[A-Za-z0-9_-]+", key)
    return key if bare else json.dumps(key, ensure_ascii=False).replace("\x7f", "\\u007f")


def config_name(path: str) -> str:
    """The name of a configuration for a file: its own, without endings.

    >>> config_name("data/Flüge 2013.csv.gz")
    'Fl-ge-2013'
    """
    stem = re.sub(r"(?i)(\.(csv|tsv|txt|json|jsonl|ndjson|parquet|pq|gz))+$", "", Path(path).name)
    return re.sub(r"[^A-Za-z0-9_.]+", "-", stem).strip("-.") or "stream"


def _sample(path: str) -> tuple[Table, int]:
    source = open_source(path, Source(events=path))
    raw: list[bytes] = []
    try:
        while len(raw) < SAMPLE and not source.finished:
            raw += source.read(SAMPLE - len(raw))[1]
    except SourceError:  # damaged further on: what can be read is sample enough, and `run` will say where
        if not raw:
            raise
    finally:
        source.close()
    if source.header is None:
        return _json_columns(raw)
    return _csv_columns(raw, source.header, source.delimiter)


def _csv_columns(raw: list[bytes], header: tuple[str, ...], delimiter: str) -> tuple[Table, int]:
    texts = [record.decode("utf-8", "replace") for record in raw]
    rows = [next(csv.reader([text], delimiter=delimiter), []) for text in texts]
    fitting = [row for row in rows if len(row) == len(header)]
    columns: Table = [(name, [row[i] for row in fitting]) for i, name in enumerate(header)]
    return columns, len(rows) - len(fitting)


def _json_columns(raw: list[bytes]) -> tuple[Table, int]:
    records = [record for record in map(_json_object, raw) if record is not None]
    names = dict.fromkeys(name for record in records for name in record)
    columns: Table = [(name, [record.get(name) for record in records]) for name in names]
    return columns, len(raw) - len(records)


def _json_object(raw: bytes) -> dict[str, object] | None:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _head(path: str, rows: int, skipped: int) -> list[str]:
    bad = f"; {skipped} more could not be read and will be dead letters" if skipped else ""
    return [
        f"# Written by `driftline init` from the first {rows} records{bad}. It runs as it is:",
        "#   driftline run CONFIG",
        "# What stands here was guessed from the sample: the comments say how. Change what you know better.",
        f"name = {toml_text(config_name(path))}",
        "",
        "[source]",
        f"events = {toml_text(Path(path).as_posix())}  # relative to the folder of this file",
        '# labels = "labels.csv"  # if labels come in a file of their own: columns id, label, time',
    ]


def _schema(roles: Roles) -> list[str]:
    lines = ["[schema]"]
    lines.append(
        _role(
            "id",
            roles.id,
            "unique in the sample; a second record of the same id is a dead letter",
            "the number of the record is its id",
        )
    )
    lines.append(_role("time", roles.time, "the time of the event", "every record is one tick; windows are in events"))
    lines.append(_role("key", roles.key, "the entity: whose events these are", "no entity"))
    guess = "guessed: it has few values and stands last" if roles.guessed else "what the model predicts"
    lines.append(_role("label", roles.label, guess, "no label: the model looks for anomalies"))
    if roles.label is not None:
        known = "known with the event" if roles.time else "known with the event; schema.time is needed for another time"
        lines.append(_role("label_time", roles.label_time, "when the label becomes known", known))
    return lines + [f"# {_plain(column.name)}: {why}" for column, why in roles.notes]


def _role(role: str, column: Column | None, why: str, without: str) -> str:
    return f"# {role} =  # none found: {without}" if column is None else f"{role} = {toml_text(column.name)}  # {why}"


def _fields(fields: list[Column], rows: int) -> list[str]:
    lines = [
        '# number: min = 0 and max = 10 turn other values away; category: values = ["a", "b"] does.',
        "# required = true makes a record without the field a dead letter; false leaves it to the watch of missing:*.",
        "# input = false keeps a field from the model.",
        "[schema.fields]",
    ]
    for column in fields:
        kind = "number" if column.is_number else "category"
        lines.append(f'{toml_key(column.name)} = {{ type = "{kind}", required = false }}  # {_seen(column, rows)}')
    return lines


def _seen(column: Column, rows: int) -> str:
    if len(column.counts) == 1 < rows:
        seen = f"seen: only {_plain(next(iter(column.counts)))}; kept, so that a change of it is seen"
    elif column.is_number:
        seen = f"seen: {min(column.numbers):.6g} .. {max(column.numbers):.6g}"
        bad = sum(column.counts.values()) - len(column.numbers)
        seen += f"; {bad} cells are no numbers: their records will be dead letters" if bad else ""
    else:
        common = sorted(column.counts, key=lambda value: (-column.counts[value], value))
        seen = f"seen: {', '.join(_plain(value) for value in common[:6])}"
        seen += f", … ({len(common)} values)" if len(common) > 6 else ""
    return seen + (f"; {column.missing / rows:.1%} missing" if column.missing else "")


def _left_out(sample: list[Column], roles: Roles) -> list[str]:
    taken = roles.columns()
    out = [column for column in sample if column.out and not any(column is other for other in taken)]
    return ["# Left out of the fields:", *(f"#   {_plain(column.name)}: {column.out}" for column in out)] if out else []


def _task(roles: Roles) -> list[str]:
    lines = ["[task]", f'type = "{roles.task}"  # binary, multiclass, regression or anomaly']
    label = roles.label
    if label is None:
        return lines
    if roles.task == "binary" and len(label.counts) == 2:
        negative, positive = _classes(label)
        lines.append(f"classes = [{toml_text(negative)}, {toml_text(positive)}]  # negative, positive")
    if roles.task == "multiclass":
        lines.append(f"max_classes = {max(32, 2 * len(label.counts))}  # the sample has {len(label.counts)}")
    if roles.time is not None and roles.label_time is not None:
        times = zip(roles.time.times, roles.label_time.times, strict=False)  # empty if a label has no time yet
        delay = max((known - time for time, known in times), default=0)
        days = max(7, -(-2 * delay // DAY_MS))
        lines.append(f'label_timeout = "{days}d"  # a label that comes later than this does not count')
    return lines


def _classes(label: Column) -> tuple[str, str]:
    """(negative, positive): positive is the telling word, else the rarer value."""
    first, second = sorted(
        label.counts, key=lambda value: (value.lower() in POSITIVE_WORDS, -label.counts[value], value)
    )
    return first.strip(), second.strip()


def _features(roles: Roles, fields: list[Column]) -> list[str]:
    of = next((column.name for column in fields if column.is_number), None)
    if of is None:
        return []
    by = [f"by = {toml_text(roles.key.name)}"] if roles.key else []
    over = "1h" if roles.time else "500 events"
    lines = ["[[features]]", 'name = "recent_mean"', 'stat = "mean"', f"of = {toml_text(of)}", *by, f'over = "{over}"']
    return [
        "# Features computed on the way, from what came before the event; for example:",
        *(f"# {line}" for line in lines),
    ]


def _model(roles: Roles) -> list[str]:
    if roles.task == "anomaly":
        use = '"river.preprocessing.MinMaxScaler | river.anomaly.HalfSpaceTrees"'
        return ["[model]", f"use = {use}  # or another of river.anomaly"]
    river = "river.tree.HoeffdingTreeRegressor" if roles.task == "regression" else "river.tree.HoeffdingTreeClassifier"
    return [
        "[model]",
        'use = "linear"  # compiled and fast; or any river class by its import path',
        "# Another model that learns from the same events, to compare:",
        "# [[challengers]]",
        '# name = "tree"',
        f'# use = "{river}"',
    ]


def _watches(roles: Roles, fields: list[Column]) -> list[str]:
    lines = ['# What is watched. by = "FIELD" gives every value of a category field a detector of its own.']
    if any(column.is_number for column in fields):
        lines += _watch("feature:*", "ks", "data drift: the distribution of every number")
    for column in fields:
        if not column.is_number:
            lines += _watch(f"feature:{column.name}", "psi", "data drift: the shares of the categories")
    lines += _watch("missing:*", "page_hinkley", "data quality: the share of missing values of every field")
    for signal in _unseen(fields):
        lines += _watch(signal, "page_hinkley", "data quality: the share of categories never met before")
    lines += _watch("rejects", "page_hinkley", "data quality: the share of records that are dead letters")
    if roles.label is not None:
        lines += _watch("error", "adwin", "concept drift: the error of the model")
    else:
        lines += _watch("prediction", "adwin", "the anomaly score")
    more = [("range:*", "numbers out of their usual range"), ("frozen:*", "values that stand still")]
    more += [("silence:*", "keys that stop sending")] if roles.key else []
    more += [("overdue", "labels that do not come")] if roles.label_time else []
    return [*lines, "# More of the data's quality that can be watched in the same way:"] + [
        f"#   {signal:<9}  {why}" for signal, why in more
    ]


def _unseen(fields: list[Column]) -> list[str]:
    """Signals of unseen categories, but of no field that has new ones all the time.

    Of its next categories, a share is new that is as large as that of the ones met once among those met so far (Good
    1953, "The Population Frequencies of Species and the Estimation of Population Parameters").
    """
    closed = {}
    for column in fields:
        if not column.is_number:
            once = sum(count == 1 for count in column.counts.values())
            closed[column.name] = once <= NEW_SHARE * sum(column.counts.values())
    return ["unseen:*"] if closed and all(closed.values()) else [f"unseen:{name}" for name in closed if closed[name]]


def _watch(signal: str, detector: str, why: str) -> Iterator[str]:
    yield from ("[[watch]]", f"signal = {toml_text(signal)}  # {why}", f'detector = "{detector}"', "")


def _alarms(roles: Roles) -> list[str]:
    signal = "error" if roles.label is not None else "prediction"
    return [
        "[alarms]",
        "# False alarms that all watches together may raise; a larger budget finds smaller changes sooner.",
        'budget = "1 per 1000000 events"',
        "# [[alarms.notify]]",
        '# alertmanager = "http://127.0.0.1:9093"  # or webhook, exec, email, log: docs/alerts.md',
        "",
        "[retrain]",
        f'on = ["{signal}"]  # a drift of these asks for a retraining',
        'action = "notify"  # or "reset": start the model over; "challenge": train another, promote it if better',
    ]


def _engine(roles: Roles) -> list[str]:
    late = lateness_ms(roles.time.times) if roles.time else 0
    if 2 * late <= DAY_MS:
        return []
    return [
        "[engine]",
        f'lateness = "{-(-2 * late // DAY_MS)}d"  # older events are dead letters; seen: {late / DAY_MS:.1f} days',
    ]


def _plain(text: str) -> str:
    """A text as it can stand in a comment: one line, printable, short."""
    shown = "".join(letter if letter.isprintable() else "�" for letter in text[:40])
    return shown + ("…" if len(text) > 40 else "")
