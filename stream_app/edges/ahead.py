"""Reading ahead: what comes next is fetched while the one before is worked on, in the same loop, without a thread."""

import asyncio
from collections.abc import AsyncGenerator
from typing import TypeVar

T = TypeVar("T")


async def ahead(found: AsyncGenerator[T]) -> AsyncGenerator[T]:
    """What a generator gives, one of which is asked for before it is wanted; closes the generator at the end.

    It gets on whenever whoever takes from here waits for anything, `asyncio.sleep(0)` too.
    """
    coming: asyncio.Future[T | None] = asyncio.ensure_future(anext(found, None))
    try:
        while (each := await coming) is not None:
            coming = asyncio.ensure_future(anext(found, None))
            yield each
    finally:
        coming.cancel()
        await asyncio.wait({coming})
        await found.aclose()
