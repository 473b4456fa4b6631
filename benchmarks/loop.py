"""first try"""

import sys
import tempfile
import time
from pathlib import Path

import msgspec

from stream_app.config import parse
from stream_app.edges.log import Log
from stream_app.messages import to_json
from stream_app.runners.embedded import Embedded

HERE = Path(__file__).parent


class Periodic(Embedded):
    every = 0
    commands = 0
    since = 0
    pending = None

    def _with_commands(self, tape):
        r = self.pipeline.retraining
        cmds = []
        if (
            self.pending
            and r.training is None
            and self.pipeline.score.candidate.version
            and self.pipeline.score.candidate.version.name != self.pending_old
        ):
            cmds.append(to_json({"command": "promote", "version": self.pipeline.score.candidate.version.name}))
            self.pending = None
        if self.every and self.pipeline.records // self.every > self.commands:
            self.commands = self.pipeline.records // self.every
            c = self.pipeline.score.candidate.version
            self.pending_old = c.name if c else None
            self.pending = True
            cmds.append(
                to_json(
                    {
                        "command": "retrain",
                        "from_offset": 0 if self.since < 0 else max(0, self.pipeline.records - self.since),
                    }
                )
            )
        return tape.led_by(cmds)

    def _step(self, *, waited):
        return super()._step(waited=waited)


def run(text, every=0, since=-1, name="x"):
    tree = parse(text, "x", {"DATA_DIR": sys.argv[1]})
    with tempfile.TemporaryDirectory() as d, Log(Path(d, "l.db"), write=True) as log:
        e = Periodic(tree, log)
        e.every = every
        e.since = since
        t = time.time()
        e.run(lambda _: None)
        s = e.pipeline.summary()["performance"]
        models = [msgspec.json.decode(r.value) for r in log.read("models")]
        trig = log.count("triggers")
        champs = [
            (
                m["version"],
                m["kind"],
                m["record"],
                m.get("evidence", {}) and (m["evidence"]["gain"] if m.get("evidence") else None),
            )
            for m in models
            if m["status"] == "champion"
        ]
        cands = sum(m["status"] == "candidate" for m in models)
        f = {
            n: {k: round(v, 4) for k, v in p["since_start"].items() if k in ("accuracy", "mae", "r2", "log_loss")}
            for n, p in s.items()
            if n in ("champion", "no-change")
        }
        print(name, round(time.time() - t, 1), "s", f, "triggers", trig, "cands", cands, champs, flush=True)
        return cands, e.pipeline.records


if __name__ == "__main__":
    import re

    for cfg in sys.argv[2].split(","):
        base = (HERE / "configs" / f"{cfg}.toml").read_text()
        base = re.sub(r"(?ms)^\[retrain\].*?(?=^\[|\Z)", "", base)
        base = re.sub(r'budget = ".*?"', 'budget = "1 per 20000 events"', base)
        extra = sys.argv[3]
        run(base + '\n[retrain]\non=["error"]\naction="notify"\n', name=cfg + " never")
        k, n = run(base + '\n[retrain]\non=["error"]\naction="challenge"\n' + extra, name=cfg + " challenge")
        if k:
            run(
                base
                + '\n[retrain]\non=["error"]\naction="challenge"\nrollback=false\ntrial=1000000000\n'.replace(
                    "trial=1000000000\n", ""
                )
                + extra.replace("cooldown", "#"),
                every=n // (k + 1),
                name=cfg + f" every {n // (k + 1)}",
                since=5000,
            )
