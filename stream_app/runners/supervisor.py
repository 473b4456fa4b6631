"""Keeps a worker running: a child process, started again when it crashes, more slowly while it keeps crashing.

Exit codes of a worker: 0 stopped on request, 1 crashed, fenced or without a broker (a restart helps), 2 wrong
configuration or topics (a restart does not help).
"""

import asyncio
import contextlib
import os
import signal
import threading
from asyncio.subprocess import Process

from stream_app.edges import journal

FIRST_S, LONGEST_S = 1.0, 30.0  # waits between two starts: doubling from the one to the other
CALM_S = 60.0  # a worker that ran for so long did not crash at once: the next wait is the first again
GRACE_S = 15.0  # a worker finishes its commit and leaves its group within 10 s
FINAL = (0, 2)
REQUESTS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
LIFELINE = "DRIFTLINE_LIFELINE"  # number of a pipe that closes when the supervisor ends, however it does


def supervise(
    command: list[str],
    *,
    first_s: float = FIRST_S,
    longest_s: float = LONGEST_S,
    calm_s: float = CALM_S,
    grace_s: float = GRACE_S,
) -> int:
    """Runs `command` until it ends with 0 or 2 or until asked to stop by SIGTERM, SIGINT or SIGHUP; its exit code.

    The child must call `follow_supervisor`. It gets SIGTERM when the supervisor is asked to stop, and SIGKILL after
    `grace_s` or when the supervisor is asked again. A child that had to be killed counts as exit code 1.
    """
    return asyncio.run(Supervisor(command, first_s, longest_s, calm_s, grace_s).run())


def follow_supervisor(grace_s: float = GRACE_S) -> None:
    """In a supervised process: SIGTERM to itself when the supervisor dies, SIGKILL after `grace_s`; else nothing."""
    number = os.environ.pop(LIFELINE, None)
    if number is None:
        return
    lifeline = int(number)
    os.set_inheritable(lifeline, False)

    def follow() -> None:
        os.read(lifeline, 1)  # nothing is ever written: it returns at the end of the supervisor
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(grace_s)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=follow, name="follow-supervisor", daemon=True).start()


class Supervisor:
    """One child at a time."""

    def __init__(self, command: list[str], first_s: float, longest_s: float, calm_s: float, grace_s: float) -> None:
        self.command = command
        self.first_s, self.longest_s, self.calm_s, self.grace_s = first_s, longest_s, calm_s, grace_s
        self.asked, self.asked_again = asyncio.Event(), asyncio.Event()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in REQUESTS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup stays nohup
                loop.add_signal_handler(number, self._ask, number)
        self.lifeline, ours = os.pipe()
        try:
            return await self._keep_running()
        finally:
            os.close(self.lifeline)
            os.close(ours)

    def _ask(self, number: int) -> None:
        (self.asked_again if self.asked.is_set() else self.asked).set()
        journal.tell("supervisor asked to stop", signal=signal.Signals(number).name)

    async def _keep_running(self) -> int:
        wait_s, clock = self.first_s, asyncio.get_running_loop().time
        while True:
            started = clock()
            code = await self._one_run()
            ran_s = clock() - started
            if self.asked.is_set() or code in FINAL:
                return code
            if ran_s >= self.calm_s:
                wait_s = self.first_s
            journal.warn("worker will be started again", ran_s=round(ran_s, 1), in_s=wait_s)
            if await _within(self.asked, wait_s):
                return 0
            wait_s = min(2 * wait_s, self.longest_s)

    async def _one_run(self) -> int:
        """The exit code of the child once it has ended; 1 where it could not start or was killed."""
        try:
            child = await self._start()
        except OSError as error:
            journal.fail("worker cannot be started", error, command=self.command[0])
            return 1
        stopping = asyncio.create_task(self._stop_when_asked(child))
        code = await child.wait()
        stopping.cancel()
        wanted = self.asked.is_set() and code == -signal.SIGTERM  # asked before it could answer by an exit code
        say = journal.tell if wanted or code == 0 else journal.warn
        say("worker ended", pid=child.pid, **({"exit": code} if code >= 0 else {"signal": signal.strsignal(-code)}))
        return 0 if wanted else code if code >= 0 else 1

    async def _start(self) -> Process:
        child = await asyncio.create_subprocess_exec(
            *self.command,
            pass_fds=(self.lifeline,),
            env=os.environ | {LIFELINE: str(self.lifeline)},
            process_group=0,  # Ctrl-C in a terminal reaches the supervisor alone, which asks the child once
        )
        journal.tell("worker started", pid=child.pid)
        return child

    async def _stop_when_asked(self, child: Process) -> None:
        await self.asked.wait()
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            child.terminate()
            if not await _within(self.asked_again, self.grace_s):
                journal.warn("worker did not stop: killing it", pid=child.pid, after_s=self.grace_s)
            child.kill()


async def _within(event: asyncio.Event, timeout_s: float) -> bool:
    """Whether the event comes within that time."""
    try:
        async with asyncio.timeout(timeout_s):
            return await event.wait()
    except TimeoutError:
        return False
