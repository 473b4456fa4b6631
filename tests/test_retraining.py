"""The loop: trigger, training, proof, promotion, rollback; commands, models from outside, the gate's proposals."""

from base64 import b64encode
from typing import Any

import numpy as np
import pytest
from loops import Run, configured, said, turning

from stream_app.models import LEARN
from stream_app.models.artefact import export
from stream_app.models.seal import packed, sign

KEY = b"k" * 32
DULL = '[[challengers]]\nname = "dull"\nuse = "river.dummy.PriorClassifier"\n[[watch]]'
LINEAR = 'use = "linear"\nparams = { lr = 0.001, intercept_lr = 0.001 }'
GAUSSIAN = {"old": LINEAR, "new": 'use = "river.naive_bayes.GaussianNB"'}


def test_a_change_of_concept_ends_with_a_model_that_has_proven_better() -> None:
    run = Run(configured()).take(turning(4000, (2500,)))
    (trigger,) = run.told("triggers")
    models = run.told("models")
    promoted = next(model for model in models if model["version"] == "v2" and model["status"] == "champion")

    assert run.life == [
        ("v1", "champion", "initial"),
        ("v2", "candidate", "fresh"),
        ("v2", "champion", "fresh"),
        ("v1", "predecessor", "initial"),
        ("v1", "archived", "initial"),
    ]
    assert promoted["trained"]["from_offset"] == trigger["data"]["train"]["from_offset"] == 2500
    assert promoted["trained"]["rows"] >= 200
    assert (promoted["parent"], promoted["why"]) == ("v1", trigger["data"]["incident"])
    assert promoted["evidence"]["loss"] + 0.5 < promoted["evidence"]["loss_champion"]
    assert models[-1]["verdict"] in {"worse", "unproven"}
    assert models[-1]["record"] - promoted["record"] == pytest.approx(600, abs=128)  # two epochs at most
    assert {block.version for block in run.out.predictions} == {"v1", "v2"}
    assert [entry["what"] for entry in run.told("audit")] == ["retrain", "promote", "retire"]


def test_the_champion_is_another_from_the_epoch_on_and_the_loss_falls() -> None:
    run = Run(configured()).take(turning(4000, (2500,)))
    first = min(int(block.offset[0]) for block in run.out.predictions if block.version == "v2")
    errors = np.concatenate([block.error for block in run.out.outcomes])

    assert first % 64 == 0
    assert errors[2500:first].mean() > 0.7
    assert errors[first:].mean() < 0.15


def test_a_concept_that_comes_back_finds_the_model_of_its_time() -> None:
    run = Run(configured('cooldown = "60s"\ntrial = 300')).take(turning(9500, (2500, 5500, 8000)))
    entered = [model for model in run.told("models") if model["status"] == "candidate"]

    assert [(model["version"], model["kind"], model["parent"]) for model in entered] == [
        ("v2", "fresh", "v1"),
        ("v3", "recurring", "v1"),
        ("v4", "recurring", "v2"),
    ]
    assert run.pipeline.score.version == "v4"


def test_without_a_change_nothing_is_promoted() -> None:
    run = Run(configured("least = 50")).take([*turning(2000, ()), said("retrain"), *turning(2500, (), seed=2)])

    assert ("v2", "candidate", "fresh") in run.life
    assert run.life[-1] == ("v2", "archived", "fresh")
    assert run.pipeline.score.version == "v1"


def test_fine_tuning_begins_from_the_champion() -> None:
    text = {"old": 'action = "challenge"', "new": 'action = "fine-tune"'}
    run = Run(configured(**text)).take(turning(4200, (2500,)))

    assert ("v2", "champion", "fine-tuned") in run.life


def test_a_training_waits_for_labels_of_the_new_kind() -> None:
    run = Run(configured("least = 400")).take(turning(4000, (2500,)))
    candidate = next(model for model in run.told("models") if model["status"] == "candidate")

    assert candidate["trained"]["rows"] >= 400
    assert candidate["trained"]["from_offset"] == 2500


def test_the_pace_is_what_the_stream_gives_to_a_training() -> None:
    slow, fast = (
        Run(configured(old="pace = 20", new=f"pace = {pace}")).take(turning(4000, (2500,))) for pace in ("5.0", "20")
    )
    entered = [
        next(model["record"] for model in run.told("models") if model["status"] == "candidate") for run in (slow, fast)
    ]
    rows = [run.told("models")[1]["trained"]["rows"] * 20 for run in (slow, fast)]
    begun = 2752  # the epoch at which there were rows enough

    assert [record - begun for record in entered] == [
        64 * -(-n // (64 * p)) - 64 for n, p in zip(rows, (5, 20), strict=True)
    ]


# by hand


def test_a_worse_model_promoted_by_hand_comes_to_rollback() -> None:
    stream = turning(4000, ())
    config = configured(
        old="[[watch]]", new='[[challengers]]\nname = "dull"\nuse = "river.dummy.PriorClassifier"\n[[watch]]'
    )
    run = Run(config, KEY).take([*stream[:1500], said("promote", version="v2", by="ada"), *stream[1500:]])
    rolled = next(entry for entry in run.told("audit") if entry["what"] == "rollback")

    assert (rolled["version"], rolled["by"]) == ("v1", "policy")
    assert rolled["evidence"]["loss"] < rolled["evidence"]["loss_champion"]
    assert run.pipeline.score.version == "v1"
    assert ("v2", "challenger", "configured") in run.life[2:]  # it has come home
    assert "dull" in run.figures


def test_rollback_can_be_switched_off() -> None:
    stream = turning(4000, ())
    run = Run(configured("rollback = false", old="[[watch]]", new=DULL), KEY)
    run.take([*stream[:1500], said("promote", version="v2"), *stream[1500:]])

    assert run.pipeline.score.version == "v2"


def test_rollback_by_hand_takes_the_one_that_was_in_charge() -> None:
    stream = turning(4000, (2500,))
    run = Run(configured("trial = 100\nrollback = false")).take(
        [*stream[:3300], said("rollback", by="ada"), *stream[3300:3400]]
    )

    assert run.pipeline.score.version == "v1"
    assert run.life[-2:] == [("v1", "champion", "initial"), ("v2", "predecessor", "fresh")]


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (said("promote", version="v9"), "no version 'v9' is kept; kept: v1"),
        (said("rollback"), "no version was in charge before this one"),
        (said("retire", version="v1"), "version 'v1' is not beside the champion; beside it: none"),
        (said("add"), "missing: the model"),
        (said("add", artefact=b64encode(packed(b"{}")).decode()), "$.artefact"),
        (said("add", artefact=b64encode(b"no zlib").decode()), "the artefact is damaged"),
    ],
)
def test_commands_that_cannot_be_obeyed_are_dead_letters(command: Any, reason: str) -> None:
    run = Run(configured(), KEY).take([*turning(100, ()), command])
    (letter,) = run.told("dead-letters")

    assert reason in letter["reason"] or reason == letter["path"]
    assert run.pipeline.effects == []


def test_a_retraining_by_command_needs_an_action_that_trains() -> None:
    run = Run(configured(old='action = "challenge"', new='action = "notify"')).take([said("retrain")])

    assert "needs retrain.action" in run.told("dead-letters")[0]["reason"]


def test_a_retraining_by_command_needs_a_lane_for_its_model() -> None:
    run = Run(configured(old='on = ["error"]\n', new="")).take([*turning(300, ()), said("retrain"), *turning(300, ())])

    assert "needs retrain.action" in run.told("dead-letters")[0]["reason"]


# from outside


def outside(run: Run, *, good: bool) -> str:
    """An artefact of a linear model that was trained elsewhere, as a command holds it."""
    score, rng = run.pipeline.score, np.random.default_rng(5)
    spec = score.champion.version.model
    model = score.made(spec)
    X = np.column_stack([rng.normal(size=(3000, 2)), np.zeros(3000)])
    y = (X[:, 0] > 0) ^ (not good)
    model.run(np.full(3000, LEARN, np.uint8), np.arange(3000), y.astype(float), X, np.empty((3000, 1)))
    document = export(spec, model, run.config.task, score.inputs, score.classes)
    return b64encode(packed(sign(document, KEY))).decode()


def test_a_model_from_outside_is_promoted_when_it_has_proven_better() -> None:
    run = Run(configured(old='action = "challenge"', new='action = "notify"'), KEY)
    stream = turning(3400, (2500,))
    run.take([*stream[:2600], said("add", artefact=outside(run, good=False), trigger="t/1"), *stream[2600:]])

    assert run.life[1:3] == [("v2", "candidate", "imported"), ("v2", "champion", "imported")]
    assert run.told("models")[1]["why"] == "t/1"
    (added,) = [entry for entry in run.told("audit") if entry["what"] == "add"]
    assert added["version"] == "v2"


def test_a_bad_model_from_outside_is_not() -> None:
    run = Run(configured(), KEY)
    stream = turning(3000, ())
    run.take([*stream[:1000], said("add", artefact=outside(run, good=False)), *stream[1000:]])

    assert run.life[-1] == ("v2", "archived", "imported")
    assert run.pipeline.score.version == "v1"


def test_a_trigger_is_answered_once() -> None:
    run = Run(configured(), KEY)
    command = said("add", artefact=outside(run, good=True), trigger="t/1")
    run.take([*turning(100, ()), command, command, *turning(200, (), seed=3)])

    assert [life for life in run.life if life[1] == "candidate"] == [("v2", "candidate", "imported")]
    assert len([entry for entry in run.told("audit") if entry["what"] == "add"]) == 1
    assert all(len(entry.get("artefact", "")) in {0, 64} for entry in run.told("audit"))


def test_a_pickle_that_nobody_of_us_has_signed_is_refused() -> None:
    run = Run(configured(**GAUSSIAN), KEY)
    forged = packed(sign(_exported(run), b"x" * 32))
    run.take([said("add", artefact=b64encode(forged).decode())])

    assert "signed with another key" in run.told("dead-letters")[0]["reason"]


def _exported(run: Run) -> bytes:
    score = run.pipeline.score
    return export(score.champion.version.model, score.champion_model, run.config.task, score.inputs, score.classes)


# gate


def test_with_a_gate_a_proof_proposes() -> None:
    stream = turning(4000, (2500,))
    run = Run(configured('gate = "true"')).take(stream[:3300])
    proposal = run.told("triggers")[-1]

    assert run.pipeline.score.version == "v1"
    assert proposal["type"] == "driftline.trigger.promotion"
    assert (proposal["data"]["version"], proposal["data"]["against"]) == ("v2", "v1")
    assert ("v2", "proposed", "fresh") in run.life

    run.take([said("promote", version="v2", by="gate"), *stream[3300:3400]])
    assert run.pipeline.score.version == "v2"


def test_what_the_gate_refuses_is_archived() -> None:
    stream = turning(4000, (2500,))
    run = Run(configured('gate = "true"')).take(stream[:3300])
    run.take([said("retire", version="v2", by="gate", why="exit code 1: too few rows"), *stream[3300:3400]])

    assert run.life[-1] == ("v2", "archived", "fresh")
    assert run.told("models")[-1]["verdict"] == "exit code 1: too few rows"


# archive


@pytest.mark.parametrize("changes", [{}, GAUSSIAN], ids=["linear", "river"])
def test_what_leaves_or_is_promoted_goes_to_the_archive_and_can_be_added_again(changes: dict[str, str]) -> None:
    run = Run(configured(**changes), KEY).take([*turning(1000, ()), said("reset"), *turning(100, (), seed=2)])
    parts = run.told("archive")

    assert {part["version"] for part in parts} == {"v1", "v2"}
    old = next(part for part in parts if part["version"] == "v1")
    run.take([said("add", artefact=old["data"], promote=True), *turning(200, (), seed=3)])
    assert run.life[-3:] == [
        ("v3", "candidate", "imported"),
        ("v3", "champion", "imported"),
        ("v2", "predecessor", "reset"),
    ]


def test_only_so_many_versions_are_kept_whole() -> None:
    resets = [record for seed in range(5) for record in (*turning(70, (), seed), said("reset"))]
    run = Run(configured("archive = 2")).take([*resets, *turning(70, ())])

    assert [each.version.name for each in run.pipeline.retraining.lanes.versions.archived] == ["v4", "v5"]
    assert len({part["version"] for part in run.told("archive")}) == 6


# triggers


def test_two_reasons_where_two_are_asked_for() -> None:
    alone = Run(configured("reasons = 2")).take(turning(4000, (2500,)))

    assert len(alone.told("alerts")) >= 1
    assert alone.told("triggers") == []


def test_a_retraining_that_would_not_pay_is_not_asked_for() -> None:
    run = Run(configured("cost = 1e6\nhorizon = 1000")).take(turning(4000, (2500,)))
    incidents = [metric for metric in run.told("metrics") if metric["signal"] == "incidents"]

    assert run.told("triggers") == []
    assert incidents[-1]["triggers_unpaid"] >= 1


def test_the_limit_counts_over_all() -> None:
    stream = turning(9500, (2500, 5500, 8000))
    free = Run(configured('cooldown = "60s"')).take(stream)
    limited = Run(configured('cooldown = "60s"\nlimit = "2 per 8000 events"')).take(stream)

    assert len(free.told("triggers")) == 3
    assert len(limited.told("triggers")) == 2
