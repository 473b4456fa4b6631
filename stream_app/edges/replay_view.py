"""What a replay of the same configuration found, for people and as JSON lines, on standard output."""

from typing import Any

from rich.markup import escape

from stream_app.config import Config
from stream_app.edges.contrast_view import pace
from stream_app.edges.differences import Difference, Replay
from stream_app.edges.terminal import OUT, printable, whole
from stream_app.edges.written import Item
from stream_app.messages import to_json

SHOWN_CHARS, BEFORE_CHARS = 200, 60  # of a record that differs: in all, and before the first that does


def print_replay(config: Config, found: Replay, *, as_json: bool) -> None:
    """Counts by stream, and the first difference of each."""
    if as_json:
        for difference in found.first.values():
            _line(_as_json(difference))
        counts = {stream: {n: getattr(tally, n) for n in tally.__slots__} for stream, tally in found.streams.items()}
        _line({"identical": found.identical, "streams": counts, **pace(found.records, found.seconds)})
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
