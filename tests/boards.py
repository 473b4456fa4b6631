"""A board from a real log, for tests; and all its documents as files, for whoever draws them.

python -m tests.boards CONFIG LOG FOLDER     writes FOLDER/VIEW.json, one more for each signal and incident
"""

import sys
from pathlib import Path

import msgspec

from stream_app.board.asked import Around, Asked
from stream_app.board.fold import STREAMS, Board
from stream_app.board.views import VIEWS, document
from stream_app.config import Config, load
from stream_app.edges.log import Log


def board_of(config: Config, path: Path) -> Board:
    """All that the log tells."""
    board = Board(config)
    with Log(path) as log:
        for stream in STREAMS:
            for record in log.read(stream):
                board.take(stream, 0, record)
    return board


def write_documents(config: Config, path: Path, folder: Path) -> None:
    """Every document of the log."""
    folder.mkdir(parents=True, exist_ok=True)
    board, around = board_of(config, path), Around(status="ended")
    asked = {view: Asked() for view in VIEWS if view not in ("signal", "incident")}
    shard = board.shards[0]
    for number, detector in enumerate(shard.figures.detectors.values()):
        asked[f"signal-{number}"] = Asked(signal=detector.signal, segment=detector.segment, detector=detector.detector)
    asked |= {f"incident-{name}": Asked(id=name) for name in shard.incidents.rows}
    for name, each in asked.items():
        view = name if name in VIEWS else name.partition("-")[0]
        data = msgspec.json.encode(document(board, view, each, around))
        (folder / f"{name}.json").write_bytes(msgspec.json.format(data))


if __name__ == "__main__":
    write_documents(load(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
