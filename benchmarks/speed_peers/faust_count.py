"""The least that a Faust agent can do: count JSON events; every thousandth count goes to the output.

Run: python faust_count.py BOOTSTRAP EVENTS OUTPUT NAME
"""

import sys

import faust

bootstrap, source, output, name = sys.argv[1:]
app = faust.App(name, broker=f"kafka://{bootstrap}", value_serializer="json", web_enabled=False)
events = app.topic(source)
counts = app.topic(output)


@app.agent(events)
async def count(stream: faust.Stream) -> None:
    """Count."""
    seen = 0
    async for _event in stream:
        seen += 1
        if seen % 1000 == 0:
            await counts.send(value={"count": seen})


if __name__ == "__main__":
    sys.argv[1:] = ["worker", "--loglevel", "warn"]
    app.main()
