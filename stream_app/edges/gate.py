"""The promotion gate: a team's own checks, which a proven model has to pass before it is promoted."""

from collections.abc import Awaitable, Callable

import msgspec

from stream_app.edges.notices import Notice
from stream_app.edges.receivers import Answer, Once, Receiver
from stream_app.messages import to_json

PROMOTION = "driftline.trigger.promotion"

Say = Callable[[int, bytes], Awaitable[None]]  # shard, command


class Proposal(msgspec.Struct):
    """What the gate needs of a proposal's data."""

    version: str


class _Event(msgspec.Struct):
    data: Proposal


class Gate(Once):
    """Runs the program on each proposal, and answers with a command: promote if it exits with 0, else retire.

    Told twice, it answers twice: to promote the champion, or to retire a version that has gone, changes nothing.
    """

    def __init__(self, program: Receiver, say: Say) -> None:
        self._program, self._say = program, say

    async def send(self, notice: Notice) -> Answer:
        """One proposal; other triggers do not concern it."""
        if notice.event.type != PROMOTION:
            return Answer("delivered", "no proposal")
        answer = await self._program.send(notice)
        what = "promote" if answer.end == "delivered" else "retire"
        version = msgspec.json.decode(notice.value, type=_Event).data.version
        shard = int(str(notice.event.source).rpartition("/")[2])
        await self._say(shard, to_json({"command": what, "version": version, "by": "gate", "why": answer.said}))
        return Answer("delivered", f"{what} {version}: {answer.said}")

    async def close(self) -> None:
        """Nothing is held open between proposals."""
        await self._program.close()
