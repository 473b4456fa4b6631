"""Promotion: the model of an experiment's winner becomes the champion of the live monitor, at a record of its control.

What a log holds is by one configuration, so only a model can be put into it. Whatever else another configuration
changes needs a log of its own: `way_out` says how.
"""

from pathlib import Path
from typing import Any

from msgspec import structs

from stream_app.config import Config, digest
from stream_app.edges import kafka
from stream_app.edges.contrast import Contrast, Winner
from stream_app.edges.log import Log
from stream_app.edges.paired_losses import Judgement
from stream_app.edges.sender import send_command
from stream_app.errors import DriftlineError
from stream_app.messages import to_json
from stream_app.models.seal import packed
from stream_app.pipeline import Pipeline
from stream_app.runners.restored import of_log, of_shard

FREE = ("name", "model", "challengers")  # may differ: challengers are ignored


def refuse_unpromotable(config: Config, other: Config, file: Path, *, topics: bool) -> None:
    """DriftlineError where more than the model of `other`, read from `file`, is another; says what to do instead.

    Of [source], [kafka] and who is notified no output depends: they may differ.
    """
    changed = [name for name in Config.__struct_fields__ if name not in FREE and _differs(config, other, name)]
    if changed:
        what = ", ".join(f"$.{name}" for name in changed)
        raise DriftlineError(
            f"not promoted: {file} changes {what}, and a running log takes nothing but a model.\n"
            + way_out(config, other, file, topics=topics)
        )
    if Pipeline(config).score.candidate is None:
        raise DriftlineError(
            f"not promoted: {config.name} has no lane for a model from outside, which takes [retrain] on or "
            "[[challengers]].\n" + way_out(config, other, file, topics=topics)
        )


def _differs(config: Config, other: Config, name: str) -> bool:
    return digest(structs.replace(config, **{name: getattr(other, name)})) != digest(config)


def way_out(config: Config, other: Config, file: Path, *, topics: bool) -> str:
    """How a configuration takes all records of another one into a log of its own, command by command."""
    lines, name = [], other.name
    if name == config.name:
        name = f"{config.name}-2"
        lines += [f'in {file}, name = "{name}"']
    if not topics:
        return "\n".join(["Give it a log of its own:", *(f"  {line}" for line in [*lines, f"driftline run {file}"])])
    inputs = [stream for stream in kafka.inputs(config) if stream != "control"]
    shared = ", ".join(f'{stream} = "{kafka.topic(config, stream)}"' for stream in inputs)
    lines += [f"in {file}, [kafka] topics = {{ {shared} }}"]
    lines += [f"driftline {command} {file}" for command in ("topics", "worker")]
    return "\n".join(["Let it take the same events under a name of its own:", *(f"  {line}" for line in lines)])


def refusal(found: Contrast, verdict: Judgement, *, anyway: bool) -> str:
    """Why nothing is promoted; empty if something is."""
    problem = next((winner.problem for winner in found.winners.values() if winner.problem), "")
    if problem:
        return f"not promoted: no artefact can hold the model: {problem}"
    if not found.winners:
        return "not promoted: there are no records, so nothing was learned"
    if verdict.outcome != "better" and not anyway:
        return f"not promoted: {verdict.sentence()}; --anyway promotes it nevertheless"
    return ""


async def promoted(
    config: Config, state: Path | None, key: bytes, winners: dict[int, Winner], said: dict[str, str]
) -> list[dict[str, Any]]:
    """Sends each shard its own model; where each command stands. DriftlineError, and nothing is sent, if one cannot be.

    Each takes effect at the first epoch boundary behind its record.
    """
    commands: dict[int, dict[str, Any]] = {
        shard: {"command": "add", "artefact": packed(winner.document), "promote": True, **said}
        for shard, winner in winners.items()
    }
    for shard, command in commands.items():
        pipeline = of_log(config, state, key) if state else await of_shard(config, shard, key)
        problem = pipeline.retraining.refusal(command)
        if problem is not None:
            raise DriftlineError(f"not promoted: shard {shard} would not take the model: {problem.reason}")
    return [
        {
            "shard": shard,
            "control": await _sent(config, state, shard, to_json(command)),
            "version": winners[shard].version,
            "record": winners[shard].record,
            "bytes": len(command["artefact"]),
        }
        for shard, command in commands.items()
    ]


async def _sent(config: Config, state: Path | None, shard: int, value: bytes) -> int:
    if state is None:
        return await send_command(config, shard, value)
    with Log(state) as log:
        return log.send_control(value)
