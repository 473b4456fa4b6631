"""The benchmarks of the engine run, and measure what they say, on a little data; how fast is not asked here."""

import gzip
import json
import random
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from waiting import TIMEOUT_S

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
EVENTS = 1500


def run(script: str, figures: Path, *args: object) -> dict:
    """Run a benchmark; 1 is a missed target, which little data may well do."""
    command = [sys.executable, BENCHMARKS / script, *map(str, args), "--json", figures]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)

    assert done.returncode in {0, 1}, done.stderr
    assert done.stderr == ""
    found = json.loads(figures.read_bytes())
    assert bool(found["missed"]) == bool(done.returncode)
    return found


def write(path: Path, features: list[str], label: str, classes: list[str], turns: int = EVENTS) -> None:
    """A seeded table whose label depends on the first feature, from row `turns` on the other way round."""
    rng = random.Random(3)
    rows = [[rng.gauss(0, 1) for _ in features] for _ in range(EVENTS)]
    codes = [(row[0] + rng.gauss(0, 1) > 0) != (i >= turns) for i, row in enumerate(rows)]
    lines = [",".join([*(f"{x:.4f}" for x in row), classes[code]]) for row, code in zip(rows, codes, strict=True)]
    path.write_bytes(gzip.compress("\n".join([",".join([*features, label]), *lines]).encode()))


def test_notify_runs_beside_receivers_that_misbehave(tmp_path: Path) -> None:
    found = run("notify.py", tmp_path / "figures.json", "--events", 45_000, "--turns", 1, "--every", 20_000)

    assert found["alerts"] > 0
    assert len(found["clock"]["ratios"]) == len(found["processor"]["ratios"]) == 1
    assert sum(found["requests"].values()) > 0
    assert "the logs differ" not in found["missed"]


def test_metrics_are_scraped_meanwhile(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"

    found = run("metrics_cost.py", figures, "--events", 40_000, "--turns", 1, "--every", 0.02)

    assert found["scrapes"] > 0
    assert found["scrape_bytes"] > 5_000
    assert len(found["clock"]["ratios"]) == len(found["processor"]["ratios"]) == 1
    assert "the logs differ" not in found["missed"]


def test_the_start_is_measured(tmp_path: Path) -> None:
    found = run("start.py", tmp_path / "figures.json", "--repeats", 1, "--only", "linear", "--events", 300)

    (warm,) = found["linear"]["warm"]["starts"]
    assert warm["processor_s"] > 0
    assert warm["seconds"] > 0
    assert found["linear"]["warm"]["kernels"] == 0


def write_elec2(folder: Path) -> None:
    """A seeded table with the columns of Elec2."""
    rng = random.Random(5)
    lines = ["period,nswprice,nswdemand,vicprice,vicdemand,transfer,day,class"]
    for i in range(EVENTS):
        x = [rng.random() for _ in range(6)]
        label = "UP" if x[1] + rng.gauss(0, 0.2) > 0.5 else "DOWN"
        lines.append(",".join([*(f"{value:.4f}" for value in x), str(1 + i % 7), label]))
    (folder / "elec2.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))


def test_compiled_models_answer_as_rivers_do(tmp_path: Path) -> None:
    write_elec2(tmp_path)
    figures, page = tmp_path / "figures.json", tmp_path / "page.md"

    found = run("compiled_models.py", figures, tmp_path, "--only", "elec2", "--turns", 2, "--out", page)

    for use in ("naive_bayes", "hoeffding_tree"):
        told = found["elec2"][use]
        assert {way: len(taken) for way, taken in told["us"].items()} == {"ours": 2, "river": 2}
        assert told["difference"] < 1e-9
        assert told["others"] == 0
        assert min(told["ratios"]) > 1
        assert f"| elec2 | 6 + 1 | 2 | `{use}` |" in page.read_text()


def test_auto_runs_beside_each_model_of_its_set(tmp_path: Path) -> None:
    write_elec2(tmp_path)

    found = run("auto.py", tmp_path / "figures.json", tmp_path, "--only", "elec2", "--out", tmp_path / "auto.md")

    choice, models = found["elec2"]["choice"], found["elec2"]["models"]
    assert choice["spent"] == 6 * EVENTS
    assert len(models) == len(choice["candidates"]) + 3
    assert all(models[each["model"]]["us"] > 0 for each in choice["candidates"])
    assert f"| elec2 | {EVENTS:,} |" in (tmp_path / "auto.md").read_text()


def test_embedded_compares_equal_work(tmp_path: Path) -> None:
    write(tmp_path / "elec2.csv.gz", ["period", "price", "demand"], "class", ["DOWN", "UP"])
    write(tmp_path / "covtype.csv.gz", ["Elevation", "Slope"], "Cover_Type", ["1", "2"])

    found = run("embedded.py", tmp_path / "figures.json", tmp_path, "--pairs", 2, "--rows", 1000)

    assert (found["elec2"]["events"], found["covtype"]["events"]) == (EVENTS, 1000)
    for name in ("elec2", "covtype"):
        assert {way: len(times["wall_s"]) for way, times in found[name]["times"].items()} == {
            "linear": 2,
            "loop": 2,
            "hosted": 2,
        }
        ratio = found[name]["ratios"]["loop / linear"]
        assert 0 < ratio["min"] <= ratio["median"] <= ratio["max"]
        assert found[name]["parts"]["hosted"]["score"] > found[name]["parts"]["linear"]["score"]


def test_of_many_features_the_one_that_drifts_is_found(tmp_path: Path) -> None:
    found = run("wide.py", tmp_path / "figures.json", "--features", 5, "--window", 1500, "--alone")

    assert found["widths"]["5"]["rows"] == 4500
    assert min(found["widths"]["5"]["ours"]) > 0
    assert found["judged"] == []


def test_a_replay_is_beside_the_run_that_wrote_the_log(tmp_path: Path) -> None:
    found = run("replay.py", tmp_path / "figures.json", "--events", 20_000, "--turns", 2, "--only", "log")

    assert {way: len(rates) for way, rates in found["rates"]["log"].items()} == {"live": 2, "replay": 2, "against": 2}
    assert [row["work"] for row in found["judged"]] == ["replay / live, log", "replay --against / live, log"]


def speed(part: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The page of one part, made in a folder."""
    command = [sys.executable, BENCHMARKS / "speed.py", folder, "--quick", "--only", part, "--out", folder]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=250)
    assert "minutes" in done.stdout, done.stderr  # it came to its end
    return done


def test_speed_puts_all_figures_on_a_page(tmp_path: Path) -> None:
    done = speed("growth", tmp_path)

    found = json.loads((tmp_path / "speed.json").read_bytes())
    page = (tmp_path / "speed.md").read_text()
    assert len(found["judged"]) == 3
    assert page.count("| missed |") == len(found["missed"])
    assert ("of 3 are missed." in page) == bool(done.returncode)
    assert "<svg" in (tmp_path / "images" / "speed.svg").read_text()


def test_speed_tells_of_a_benchmark_that_failed(tmp_path: Path) -> None:
    done = speed("embedded", tmp_path)  # where there are no data sets

    told = json.loads((tmp_path / "speed.json").read_bytes())["missed"]
    assert done.returncode == 1
    assert told == ["embedded.py failed: its figures were not measured"]
    assert "Not measured, because the benchmark failed: embedded." in (tmp_path / "speed.md").read_text()


def test_the_peers_have_the_river_of_this_environment() -> None:
    pinned = [file.read_text() for file in (BENCHMARKS / "speed_peers").glob("*.txt")]

    assert [text for text in pinned if "river" in text and f"river=={version('river')}\n" not in text] == []


def test_growth_takes_all_windows(tmp_path: Path) -> None:
    found = run("growth.py", tmp_path / "figures.json", "--events", 30_000, "--window", 3000, "--pairs", 2)

    events = [point["events"] for point in found["windows"]]
    assert events == sorted(events)
    assert events[-1] >= 30_000
    assert len(found["pairs"]) == 2
    assert found["windows"][-1]["log"] > found["windows"][0]["log"]
    assert min(found["memory"], found["state"], found["time"]["min"]) > 0


def test_curves_are_measured_point_by_point(tmp_path: Path) -> None:
    options = "--events", 2000, "--turns", 1, "--most", 2, "--only", "partitions", "--out", tmp_path / "growth.md"
    found = run("curves.py", tmp_path / "figures.json", *options)

    assert list(found["points"]["partitions"]) == ["1", "2"]
    one, two = (turns[0] for turns in found["points"]["partitions"].values())
    assert min(one.values()) > 0
    assert two["state"] / one["state"] == pytest.approx(2, rel=0.05)
    assert found["exponents"]["partitions"]["state"]["exponent"] == pytest.approx(1, abs=0.1)
    assert "| partitions | time, µs |" in (tmp_path / "growth.md").read_text()
    assert "<svg" in (tmp_path / "images" / "growth.svg").read_text()


def test_retraining_compares_the_same_events(tmp_path: Path) -> None:
    fields = tomllib.loads((BENCHMARKS / "configs" / "covtype.toml").read_text())["schema"]["fields"]
    write(tmp_path / "covtype.csv.gz", list(fields), "Cover_Type", ["1", "2"], turns=400)

    found = run("retraining.py", tmp_path / "figures.json", tmp_path, "--only", "covtype", "--rows", 1400)

    assert found["first"]["covtype"]["model"] == "GaussianNB"
    for table in ("first", "second"):
        told = found[table]["covtype"]
        assert 1390 <= told["events"] <= 1400
        assert {"never", "challenge", "periodic", "no-change"} == set(told["score"])
        assert all(low <= mean <= high for mean, low, high in told["gain"].values())
    assert found["first"]["covtype"]["trainings"] > 0
    assert found["first"]["covtype"]["rows"]  # so the calendar had its turn too


def test_promotions_are_counted(tmp_path: Path) -> None:
    found = run("promotions.py", tmp_path / "figures.json", "--streams", 2, "--labels", 1200)

    assert len(found["equal"]) == 9
    assert all(told["promoted"]["0.95"]["streams"] == 2 for told in found["equal"].values())
    assert found["missed"] == []
    assert found["power"]["0.1, 50% in common"]["share"] > 0
    assert found["back"]["0.1"]["share"] > 0


def test_retraining_rate_is_of_the_same_events(tmp_path: Path) -> None:
    found = run("retraining_rate.py", tmp_path / "figures.json", "--windows", 2, "--warm", 6144, "--cycles", 1)

    for name in ("linear", "river's Gaussian naive Bayes"):
        assert {way: len(taken) for way, taken in found[name]["seconds"].items()} == {
            "alone": 2,
            "training": 2,
            "shadow": 2,
        }
        assert set(found[name]["ends"]) == {"begins", "ends", "is promoted"}


def test_dashboard_is_measured_with_pages_and_without(tmp_path: Path) -> None:
    options = "--events", 30_000, "--turns", 1, "--pages", 12, "--lines", 200
    found = run("dashboard.py", tmp_path / "figures.json", *options)

    assert len(found["one clock"]["ratios"]) == len(found["many processor"]["ratios"]) == 1
    assert len(found["sent"]) == 2
    assert found["log"]["records"] == 200 * 13
    assert found["peak_kb"] > 0
