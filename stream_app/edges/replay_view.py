"""What a replay found, for people and as JSON lines, on standard output."""

from typing import Any

from rich.markup import escape

from stream_app.config import Config
from stream_app.edges.differences import Difference, Item, Replay
from stream_app.edges.sightings import COUNTED, TOLD, Contrast, Sighting
from stream_app.edges.terminal import OUT, SHOWN, printable, when, whole
from stream_app.messages import to_json

SHOWN_CHARS, BEFORE_CHARS = 200, 60  # of a record that differs: in all, and before the first that does


def print_replay(config: Config, found: Replay, *, as_json: bool) -> None:
    """Counts by stream, and the first difference of each."""
    if as_json:
        for difference in found.first.values():
            _line(_as_json(difference))
        counts = {stream: {n: getattr(tally, n) for n in tally.__slots__} for stream, tally in found.streams.items()}
        _line({"identical": found.identical, "streams": counts, **_pace(found)})
        return
    table = whole("stream", "same", "altered", "missing", "extra", "compacted or deleted")
    for stream, tally in found.streams.items():
        table.add_row(stream, *(f"{getattr(tally, name):,}" for name in tally.__slots__))
    OUT.print(table)
    for difference in found.first.values():
        where = "at the end" if difference.position is None else f"at {difference.position}"
        OUT.print(f"{difference.stream}, shard {difference.shard}, {where}: {difference.kind}", markup=False)
        written, rerun = _text(difference.written), _text(difference.rerun)
        differ = next((i for i, (a, b) in enumerate(zip(written, rerun, strict=False)) if a != b), 0)
        begin = max(differ - BEFORE_CHARS, 0)
        for side, text in (("written", written), ("replayed", rerun)):
            OUT.print(f"  {side:<8}  {_cut(text, begin)}", markup=False, soft_wrap=True)
    OUT.print(f"{escape(config.name)}: {_verdict(found)}")


def _verdict(found: Replay) -> str:
    took = f"{found.records:,} records in {found.seconds:.1f} s"
    if found.identical:
        return f"[green]identical[/] ({took})"
    return f"[bold red]different[/] in {', '.join(found.first)} ({took})"


def print_contrast(config: Config, found: Contrast, *, as_json: bool) -> None:
    """What only one of the two raised, and their figures side by side."""
    raised = {"alerts": found.alerts, "triggers": found.triggers}
    counts = {name: (found.live.counts[name], found.other.counts[name]) for name in (*COUNTED, *TOLD)}
    if as_json:
        for stream, sets in raised.items():
            for side, seen in (("live", sets.only_live), ("other", sets.only_other)):
                for each in seen:
                    _line({"stream": stream, "only": side, **each._asdict()})
        matches = {
            s: {"matched": len(m.both), "only_live": len(m.only_live), "only_other": len(m.only_other)}
            for s, m in raised.items()
        }
        pairs: dict[str, dict[str, tuple[Any, Any]]] = {"counts": dict(counts), "rolling": dict(found.figures())}
        beside = {what: {n: {"live": a, "other": b} for n, (a, b) in rows.items()} for what, rows in pairs.items()}
        _line({**matches, **beside, **_pace(found)})
        return
    for stream, sets in raised.items():
        for side, seen in (("only live ", sets.only_live), ("only other", sets.only_other)):
            for each in seen:
                OUT.print(_told(config, stream, side, each), markup=False, soft_wrap=True)
        told = f"{len(sets.both)} matched, {len(sets.only_live)} only live, {len(sets.only_other)} only other"
        OUT.print(f"{'incidents' if stream == 'alerts' else stream}: {told}")
    table = whole("champion, rolling (mean of the shards); counts", "live", "other")
    for name, (a, b) in found.figures().items():
        if name in SHOWN[config.task.type]:
            table.add_row(name, *("-" if value is None else f"{value:.4g}" for value in (a, b)))
    for name, (live, other) in counts.items():
        table.add_row(name, f"{live:,}", f"{other:,}")
    OUT.print(table)
    OUT.print(f"{escape(config.name)}: {found.records:,} records in {found.seconds:.1f} s")


def _told(config: Config, stream: str, side: str, each: Sighting) -> str:
    place = f"shard {each.shard} offset {each.offset}"
    return f"{stream} {side}  {when(config, each.time)}  {place}  {each.severity}  {printable(each.message)}"


def _pace(found: Replay | Contrast) -> dict[str, Any]:
    rate = round(found.records / found.seconds) if found.seconds else 0
    return {"records": found.records, "seconds": round(found.seconds, 3), "records_per_second": rate}


def _as_json(difference: Difference) -> dict[str, Any]:
    head = {name: getattr(difference, name) for name in ("stream", "shard", "kind", "position")}
    return head | {"written": _fields(difference.written), "replayed": _fields(difference.rerun)}


def _fields(held: Item | None) -> dict[str, str] | None:
    names = ("id", "key", "value")
    return held and {name: part.decode("utf-8", "backslashreplace") for name, part in zip(names, held, strict=True)}


def _text(held: Item | None) -> str:
    return printable("  ".join(part.decode("utf-8", "backslashreplace") for part in held if part)) if held else "-"


def _cut(text: str, begin: int) -> str:
    """The part of a record in which it differs from another."""
    shown = text[begin : begin + SHOWN_CHARS]
    return "..." * (begin > 0) + shown + "..." * (begin + SHOWN_CHARS < len(text))


def _line(value: dict[str, Any]) -> None:
    OUT.out(to_json(value).decode(), highlight=False)
