"""What a page asks for, and what only those around the board know."""

from msgspec import Struct

from stream_app.board.fold import Board, Shard

SORTS = ("closeness", "signal", "detector", "n", "missing", "state")


class Asked(Struct, frozen=True, kw_only=True):
    """The members of a query; each view looks at those that concern it."""

    shard: int | None = None  # None: all
    signal: str = ""
    segment: str = ""
    detector: str = ""  # empty: the one that is nearest to an alarm
    id: str = ""  # of an incident
    from_ms: int | None = None
    to_ms: int | None = None
    sort: str = "closeness"
    top: int = 200  # rows of the page of signals


class Around(Struct, frozen=True, kw_only=True):
    """How the stream stands, as the process sees it that reads it."""

    status: str = "waiting"  # live, ended
    read_only: bool = False
    notices: tuple[str, ...] = ()
    rate_now: float | None = None  # records per second of wall time
    lag: int | None = None


def shown(board: Board, asked: Asked) -> dict[int, Shard]:
    """The shards that are asked for, in their order."""
    return {number: shard for number, shard in sorted(board.shards.items()) if asked.shard in (None, number)}
