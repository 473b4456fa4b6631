"""The command that prints the published schemas."""

from pathlib import Path

import click
import msgspec

from stream_app.cli import cli
from stream_app.messages import OUTPUTS

STREAMS = (*OUTPUTS, "archive", "control")


@cli.command()
@click.argument("stream", type=click.Choice([*STREAMS, "asyncapi"]), required=False)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Write all of them into this folder.")
def schemas(stream: str | None, out: Path | None) -> None:
    """JSON Schemas of the output streams and of commands, and an AsyncAPI document of the topics.

    Prints that of one stream, or writes asyncapi.yaml and schemas/STREAM.schema.json into a folder.

    Example: driftline schemas alerts
    """
    from stream_app.schemas.documents import asyncapi, schema  # noqa: PLC0415

    if (stream is None) == (out is None):
        raise click.UsageError("give a stream, or --out DIR for all of them")
    if stream is not None:
        click.echo(_text(asyncapi() if stream == "asyncapi" else schema(stream)), nl=False)
        return
    assert out is not None
    (out / "schemas").mkdir(parents=True, exist_ok=True)
    (out / "asyncapi.yaml").write_text(_text(asyncapi()))
    for name in STREAMS:
        (out / "schemas" / f"{name}.schema.json").write_text(_text(schema(name)))


def _text(document: object) -> str:
    """Indented JSON, which is YAML as well."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"
