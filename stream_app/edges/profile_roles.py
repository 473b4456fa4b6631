"""What the columns of a sample are for: id, time, key, label, field, or nothing, with the reason; deterministic."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from stream_app.edges.profile_columns import GUESSED_CLASSES, ID_WORDS, MAX_VALUES, TESTABLE_ROWS, Column
from stream_app.messages import NO_TIME

EPOCH_MS_MIN = 10**11  # 1973; smaller whole numbers are counts or seconds
LATENESS_MAX_MS = 86_400_000  # engine.lateness

TIME_WORDS = ("timestamp", "datetime", "time", "ts", "date", "day", "at")
CALENDAR_WORDS = {"year", "yr", "month", "mnth", "week", "weekday", "day", "hour", "hr", "minute", "second"}
LABEL_WORDS = (
    "label",
    "target",
    "class",
    "y",
    "outcome",
    "churn",
    "churned",
    "fraud",
    "clicked",
    "converted",
    "default",
)
KEY_WORDS = {"id", "user", "customer", "account", "carrier", "device", "sensor", "host", "machine", "store", "merchant"}
KEY_WORDS |= {"series", "symbol", "client", "vendor", "station", "card"}
POSITIVE_WORDS = {"1", "true", "yes", "t", "y", "positive", "pos", "fraud", "churn", "late", "up", "bad", "anomaly"}


@dataclass
class Roles:
    """Which column is what; None: no column."""

    id: Column | None = None
    time: Column | None = None
    key: Column | None = None
    label: Column | None = None
    label_time: Column | None = None
    task: str = "anomaly"
    guessed: bool = False  # the label has no telling name
    notes: list[tuple[Column, str]] = field(default_factory=list)

    def columns(self) -> list[Column]:
        return [column for column in (self.id, self.time, self.label, self.label_time) if column is not None]


def assign(columns: list[Column]) -> Roles:
    """Find the roles and note at each column that is no field why it is left out."""
    for column in columns:
        _leave_out_unusable(column, sum(other.name == column.name for other in columns))
    roles = Roles()
    named = [column for column in columns if not column.out]
    roles.id = next((column for column in named if _is_id(column)), None)
    _find_times(named, roles)
    for column in named:
        if column not in roles.columns():
            _leave_out_useless(column)
    usable = [column for column in named if column not in roles.columns() and not column.out]
    _find_label(named, usable, roles)
    if roles.label is None:
        roles.label_time = None
    for column in usable:
        if roles.label is not None and column is not roles.label and _tells(column, roles.label):
            column.out = f"says the same as the label {roles.label.name!r}: the model would see the answer"
    fields = [column for column in usable if not column.out and column is not roles.label]
    if roles.label is not None and not fields:  # a label alone leaves nothing to learn from
        roles.label.out = ""
        roles.label = roles.label_time = None
        roles.task = "anomaly"
    for column in columns:
        column.out = column.out or _role_of(column, roles)
    roles.key = next((column for column in fields if _is_key(column)), None)
    return roles


def lateness_ms(times: list[int]) -> int:
    """How far the latest of the late comes behind the newest time before it."""
    return max((newest - time for newest, time in _behind(times)), default=0)


def _leave_out_unusable(column: Column, namesakes: int) -> None:
    if not column.name.strip() or column.name == "*":
        column.out = "has no name that can be used"
    elif any("\ud800" <= letter <= "\udfff" for letter in column.name):
        column.out = "its name is not a text"
    elif namesakes > 1:
        column.out = f"there are {namesakes} columns of this name"
    elif column.unreadable:
        column.out = "holds objects or arrays; name their members as columns of their own"
    elif not column.counts:
        column.out = "every value is missing"


def _leave_out_useless(column: Column) -> None:
    rows, distinct = len(column.cells), len(column.counts)
    whole = column.is_number and column.is_whole and len(column.numbers) == rows
    if column.some_times and not (column.is_number and max(column.numbers) < EPOCH_MS_MIN):
        column.out = "a time; only differences of times mean something to a model"
    elif (
        whole and rows >= TESTABLE_ROWS and all(a < b for a, b in zip(column.numbers, column.numbers[1:], strict=False))
    ):
        column.out = "counts up with the records, so it always drifts"
    elif not column.is_number and (distinct > MAX_VALUES or (rows >= TESTABLE_ROWS and distinct > rows / 2)):
        column.out = f"text with {distinct} distinct values among {rows} records"
    elif column.is_number and set(column.words) & ID_WORDS and column.is_whole and distinct > 2:
        column.out = f"numbers that name things, {distinct} distinct values among {rows} records"


def _is_id(column: Column) -> bool:
    unique = len(column.counts) == len(column.cells)
    by_name = bool(ID_WORDS & set(column.words)) or column.name.lower().endswith(("id", "uuid"))
    return unique and by_name and not (column.is_number and not column.is_whole)


def _find_times(columns: list[Column], roles: Roles) -> None:
    times = [column for column in columns if column is not roles.id and _is_time(column)]
    labelled = [column for column in times if set(column.words) & (set(LABEL_WORDS) | {"labelled", "labeled"})]
    ordered = []
    for column in (column for column in times if column not in labelled and column.times):
        late = sum(newest - time > LATENESS_MAX_MS for newest, time in _behind(column.times))
        if late > 0.01 * len(column.times):
            roles.notes.append((column, "a time, but the records are not in its order; sort them to use it"))
        else:
            ordered.append(column)
    roles.time = min(ordered, key=_time_rank, default=None)
    if roles.time is not None:
        roles.label_time = next(iter(labelled), None)


def _behind(times: list[int]) -> Iterable[tuple[int, int]]:
    """(newest time so far, time) of each record."""
    newest = NO_TIME
    for time in times:
        newest = max(newest, time)
        yield newest, time


def _is_time(column: Column) -> bool:
    if not column.some_times:
        return False
    return not column.is_number or (column.is_whole and min(column.numbers) >= EPOCH_MS_MIN and _time_rank(column) < 9)


def _time_rank(column: Column) -> int:
    """0 for the most telling name; 9 for a name that tells nothing."""
    return min((TIME_WORDS.index(word) // 4 for word in column.words if word in TIME_WORDS), default=9)


def _find_label(columns: list[Column], usable: list[Column], roles: Roles) -> None:
    taken = (roles.id, roles.time, roles.label_time)
    free = [column for column in columns if not any(column is other for other in taken) and column.counts]
    named = [column for column in free if _label_rank(column) < 99 and _task_of(column)]
    label = min(named, key=_label_rank, default=None)
    if label is None:
        few = [column for column in usable if column.is_class and len(column.counts) <= GUESSED_CLASSES]
        few = [column for column in few if not CALENDAR_WORDS & set(column.words)]
        label = few[-1] if few else None
        roles.guessed = label is not None
    if label is not None:
        roles.label, roles.task, label.out = label, _task_of(label), ""


def _label_rank(column: Column) -> int:
    """Small for a telling name: all of it, then a word of it, then is_something; 99 for none."""
    if column.name.lower() in LABEL_WORDS:
        return LABEL_WORDS.index(column.name.lower())
    ranks = [20 + LABEL_WORDS.index(word) for word in column.words if word in LABEL_WORDS and len(word) > 1]
    return min([*ranks, *([50] if column.words[:1] == ["is"] and len(column.counts) == 2 else [])], default=99)


def _task_of(column: Column) -> str:
    """The task whose label this column can be; empty for none."""
    if len(column.counts) == 1:
        return "binary" if next(iter(column.counts)).lower() in {"0", "1", "true", "false", "yes", "no"} else ""
    if column.is_class:
        return "binary" if len(column.counts) == 2 else "multiclass"
    return "regression" if column.is_number else ""


def _tells(column: Column, label: Column) -> bool:
    """Whether the column is the label again, word for word or by a one-to-one renaming."""
    if column.texts == label.texts:
        return True
    pairs = set(zip(column.texts, label.texts, strict=True))
    enough = len(label.cells) >= TESTABLE_ROWS and len(label.counts) > 1
    return enough and len(pairs) == len(set(column.texts)) == len(set(label.texts))


def _is_key(column: Column) -> bool:
    repeated = 2 <= len(column.counts) <= len(column.cells) / 2
    return repeated and not column.is_number and bool(KEY_WORDS & set(column.words))


def _role_of(column: Column, roles: Roles) -> str:
    return next(
        (f"schema.{role}" for role in ("id", "time", "label", "label_time") if getattr(roles, role) is column), ""
    )
