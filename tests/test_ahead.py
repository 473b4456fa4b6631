"""Reading ahead: everything in its order, one before it is wanted, and nothing left running."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from stream_app.edges.ahead import ahead


class Source:
    """Gives numbers, and notes how many were asked for and whether it was closed."""

    def __init__(self, stop: int, *, fails: bool = False) -> None:
        self.stop, self.fails, self.asked, self.closed = stop, fails, 0, False

    async def numbers(self) -> AsyncGenerator[int]:
        try:
            for number in range(self.stop):
                self.asked += 1
                await asyncio.sleep(0)
                yield number
            if self.fails:
                raise OSError("gone")
        finally:
            self.closed = True


@pytest.mark.parametrize("stop", [0, 1, 5])
def test_all_come_in_their_order(stop: int) -> None:
    async def work() -> list[int]:
        return [number async for number in ahead(source.numbers())]

    source = Source(stop)
    assert asyncio.run(work()) == list(range(stop))
    assert source.closed


def test_the_next_is_asked_for_while_one_is_worked_on_but_no_more() -> None:
    async def work() -> None:
        async with aclosing(ahead(source.numbers())) as numbers:
            async for number in numbers:
                for _ in range(10):
                    await asyncio.sleep(0)
                assert source.asked == min(number + 2, source.stop)

    source = Source(4)
    asyncio.run(work())


def test_what_fails_ahead_fails_when_its_turn_has_come() -> None:
    async def work() -> None:
        async for number in ahead(source.numbers()):
            found.add(number)

    source, found = Source(3, fails=True), set[int]()
    with pytest.raises(OSError, match="gone"):
        asyncio.run(work())
    assert found == {0, 1, 2}


def test_who_stops_early_leaves_nothing_running() -> None:
    async def work() -> set[asyncio.Task[object]]:
        async with aclosing(ahead(source.numbers())) as numbers:
            assert await anext(numbers) == 0
        return asyncio.all_tasks() - {asyncio.current_task()}

    source = Source(3)
    assert asyncio.run(work()) == set()
    assert source.closed
