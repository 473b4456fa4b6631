"""The past of a log as it is gone through once more; what comes of it is in test_replay."""

import asyncio
from pathlib import Path

import pytest
from runs import configured, in_process, rows, write

from stream_app.config import load
from stream_app.messages import Progress
from stream_app.runners.recovery import SLICE
from stream_app.runners.replay import contrasted, replayed

ROWS = SLICE + 500  # more than one step


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("history")
    write(folder / "events.jsonl", rows(2, ROWS))
    file = configured(folder, "events.jsonl")
    in_process(file, folder / "log.db")
    return file


@pytest.mark.parametrize("against", [False, True], ids=["itself", "another"])
def test_a_replay_of_a_log_ends_where_it_is_cancelled(file: Path, *, against: bool) -> None:
    config, state = load(file), file.with_name("log.db")
    told: list[int] = []

    async def work() -> None:
        task = asyncio.current_task()
        assert task is not None

        def report(progress: Progress) -> None:
            told.append(progress.records)
            task.cancel()

        again = (
            contrasted(config, config, state=state, report=report)
            if against
            else replayed(config, state=state, report=report)
        )
        await again

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(work())
    assert len(told) == 1
    assert told[0] < ROWS
