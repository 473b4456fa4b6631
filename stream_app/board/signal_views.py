"""Documents of watched signals: every detector and how near it is to an alarm, and one signal more closely."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from stream_app.board.asked import SORTS, Asked, shown
from stream_app.board.documents import Bins, Distribution, IncidentRow, SignalRow
from stream_app.board.figures import Detector
from stream_app.board.fold import Board
from stream_app.board.incident_views import newest_first, row_of
from stream_app.board.panes import Pane, Panes
from stream_app.board.series import ROOM, drawn
from stream_app.config.watched import kind_of
from stream_app.flow.panes import edge_of

SMALL = 128  # points of a series in the table of signals
MOST_INCIDENTS = 50
MOST_SHOWN_BINS = 48
LATEST = 8  # without an incident the newest eighth of the time is compared with the rest


def signals(board: Board, asked: Asked) -> dict[str, Any]:
    """Every detector, in the order that is asked for."""
    found = sorted(_detectors(board, asked), key=lambda each: _place(asked.sort, each))
    rows = [_row(board, asked, each, SMALL) for each in found[: asked.top]]
    return {"signals": rows, "total": len(found), "sort": asked.sort, "sorts": list(SORTS)}


def signal(board: Board, asked: Asked) -> dict[str, Any]:
    """One signal or segment: its detectors, distribution before and after, segments, incidents."""
    of_signal = [each for each in _detectors(board, asked) if each.detector.signal == asked.signal]
    of_signal.sort(key=lambda each: _place("closeness", each))
    mine = [each for each in of_signal if each.detector.segment == asked.segment]
    named = [each for each in mine if asked.detector in ("", each.detector.detector)]
    detectors = [_row(board, asked, each, ROOM) for each in mine]
    chosen = named[0] if named else None
    row = None if chosen is None else detectors[mine.index(chosen)]
    incidents = _incidents(board, asked)
    onset_ms = max((each["onset_ms"] for each in incidents), default=None)
    panes = _panes(board, asked) if not asked.segment else []
    before, after = _distributions(asked, panes, onset_ms)
    field = board.config.schema.fields.get(asked.signal.removeprefix("feature:"))
    return {
        "row": row,
        "detectors": detectors,
        "unit": field.unit if field is not None and asked.signal.startswith("feature:") else None,
        "estimate_series": drawn([chosen.detector.estimates] if chosen else [], asked.from_ms, asked.to_ms),
        "panes": drawn([each.means for each in panes], asked.from_ms, asked.to_ms),
        "reference": before,
        "current": after,
        "onset_ms": onset_ms,
        "segments": [_row(board, asked, each, SMALL) for each in of_signal if each.detector.segment],
        "incidents": incidents[:MOST_INCIDENTS],
    }


class Watcher(NamedTuple):
    """A detector with its shard, and the open incident that its signal is part of."""

    shard: int
    detector: Detector
    incident: str | None


def _detectors(board: Board, asked: Asked) -> Iterator[Watcher]:
    for number, shard in shown(board, asked).items():
        alarming = shard.incidents.alarming()
        for detector in shard.figures.detectors.values():
            yield Watcher(number, detector, alarming.get(f"{detector.signal}|{detector.segment}"))


def _place(sort: str, watcher: Watcher) -> tuple[Any, ...]:
    detector, closeness = watcher.detector, watcher.detector.closeness
    near = (watcher.incident is None, closeness is None, -(closeness or 0.0))
    name = (detector.signal, detector.segment, detector.detector, watcher.shard)
    first: dict[str, tuple[Any, ...]] = {
        "closeness": near[1:],
        "signal": (),
        "detector": (detector.detector,),
        "n": (-detector.n,),
        "missing": (-detector.missing,),
        "state": near,
    }
    return (*first[sort], *name)


def _row(board: Board, asked: Asked, watcher: Watcher, most: int) -> SignalRow:
    number, detector, incident = watcher
    span = asked.from_ms, asked.to_ms, most
    return {
        "shard": number,
        "signal": detector.signal,
        "segment": detector.segment,
        "detector": detector.detector,
        "kind": kind_of(board.config, detector.signal) or "number",
        "statistic": detector.statistic,
        "threshold": detector.threshold,
        "closeness": detector.closeness,
        "n": detector.n,
        "missing": detector.missing,
        "estimate": detector.estimate,
        "state": "ok" if incident is None else "alarm",
        "incident": incident,
        "series": {
            "statistic": drawn([detector.statistics], *span),
            "threshold": drawn([detector.thresholds], *span),
        },
    }


def _incidents(board: Board, asked: Asked) -> list[IncidentRow]:
    found = [
        row_of(number, row)
        for number, shard in shown(board, asked).items()
        for row in shard.incidents.rows.values()
        if (row.signal, row.segment) == (asked.signal, asked.segment) or f"{asked.signal}|{asked.segment}" in row.places
    ]
    return newest_first(found)


# distributions


def _panes(board: Board, asked: Asked) -> list[Panes]:
    found = [shard.panes.signals.get(asked.signal) for shard in shown(board, asked).values()]
    return [panes for panes in found if panes is not None]


def _distributions(
    asked: Asked, panes: list[Panes], onset_ms: int | None
) -> tuple[Distribution | None, Distribution | None]:
    """Before and after the onset, or the stretch that was asked for and what came before it."""
    known = [pane for each in panes for pane in each.merged.values()]
    if not known:
        return None, None
    first, last = min(pane.start for pane in known), max(pane.stop for pane in known)
    cut = asked.from_ms if asked.from_ms is not None else onset_ms
    if cut is None or not first < cut < last:
        cut = last - (last - first) // LATEST
    cut = min(max(cut, min(pane.stop for pane in known)), max(pane.start for pane in known))  # something on either side
    before = [each.inside(None, cut) for each in panes]
    after = [each.inside(cut, asked.to_ms) for each in panes]
    return _distribution(before), _distribution(after)


def _distribution(parts: list[Pane | None]) -> Distribution | None:
    found = [part for part in parts if part is not None]
    if not found:
        return None
    whole = Pane(found[0].start, found[0].stop)
    for part in found:
        whole.add(part)
    whole.bound(MOST_SHOWN_BINS)
    return {
        "from_ms": whole.start,
        "to_ms": whole.stop,
        "n": whole.n,
        "missing": whole.missing,
        "mean": whole.total / whole.n if whole.bins else None,
        "bins": _by_name(whole) if whole.shares else _shares(whole),
    }


def _shares(pane: Pane) -> Bins:
    """[low, high, share] of each bin, ascending; the bin of 0 is [0, 0]."""
    shares: Bins = []
    for number, count in sorted(pane.bins.items()):
        inner, outer = edge_of(number << pane.dropped), edge_of((number + (1 if number >= 0 else -1)) << pane.dropped)
        low, high = sorted((inner, outer if number else 0.0))
        shares.append([low, high, count / pane.n])
    return shares


def _by_name(pane: Pane) -> Bins:
    """[category, share], the most frequent first."""
    ordered = sorted(pane.shares.items(), key=lambda each: (-each[1], each[0]))
    return [[name, count / pane.n] for name, count in ordered]
