"Sweeps in real processes: killed and resumed, several workers at once, and W&B's agent against a server on this machine."
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from klue_sts.space import SWEEP, SweepError
from klue_sts.sweep import TrainObjective, load_sweep, read_trial, run_sweep
from wandb_server import WandbServer

here = Path(__file__).resolve().parent


class Toy:
    "A training that takes no time to speak of; batch 64 with a large decay fails."
    evaluations = 10

    def __init__(self, pause=0.0): self.pause = pause
    def facts(self): return {"toy": True}
    def __call__(self, params, report, folder):
        if params["batch_size"] == 64 and params["weight_decay"] > 0.07: raise MemoryError("batch too large")
        for i in range(1, 11):
            time.sleep(self.pause)
            report(i, {"step": 5 * i, "loss": 1 / i, "valid_pearson": 0.9 - abs(params["lr"] - 1e-4) * 1e3 - params["weight_decay"] - 0.3 / i})


class Poison(Toy):
    "A training whose trials with large decay kill their process after `at` evaluations."

    def __init__(self, at=0): super().__init__(); self.at = at
    def __call__(self, params, report, folder):
        def deadly(i, row):
            if i > self.at and params["weight_decay"] > 0.07: os._exit(9)
            report(i, row)
        super().__call__(params | {"batch_size": 16}, deadly, folder)


class Preempted(Toy):
    "A training that goes on from where it was, on a machine that is taken away every third evaluation."

    def __call__(self, params, report, folder):
        done = len(read_trial(folder))
        for i in range(done + 1, 11):
            report(i, {"step": 5 * i, "loss": 1 / i, "valid_pearson": 0.1 * i})
            if i % 3 == 0: os._exit(9)


def small_training():
    "A real training: the packaged model on a few pairs of the sample."
    from klue_sts.data import load_sample, split_pairs
    from klue_sts.train import TrainConfig
    tr, va = split_pairs(load_sample("train"), valid=0.3)
    return TrainObjective(tr.head(96), va.head(40), TrainConfig(epochs=1, evals_per_epoch=3, freeze_embeddings=True))


def start(out, config, objective, workers=1):
    code = f"import test_sweep as t; from klue_sts.sweep import run_sweep\nif __name__ == '__main__': run_sweep({config!r}, t.{objective}, out={str(out)!r}, workers={workers}, project=None)"
    return subprocess.Popen([sys.executable, "-c", code], cwd=here, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.02)


def rows_of(out): return sum(len(p.read_text().splitlines()) for p in Path(out).glob("trial-*/metrics.jsonl"))


def same(a, b):
    drop = ["seconds"]
    pd.testing.assert_frame_equal(a.trials.drop(columns=drop), b.trials.drop(columns=drop))
    assert a.best["trial"] == b.best["trial"] and a.best["value"] == b.best["value"]


def test_a_killed_sweep_ends_as_if_it_had_not_been(tmp_path):
    whole = run_sweep(SWEEP, Toy(), out=tmp_path / "whole", project=None)
    for after in (13, 60):  # two kills in mid-trial
        worker = start(tmp_path / "cut", SWEEP, "Toy(0.02)")
        wait_for(lambda: rows_of(tmp_path / "cut") >= after)
        os.killpg(worker.pid, signal.SIGKILL); worker.wait()
    assert 0 < len(load_sweep(tmp_path / "cut").trials) < 32
    same(run_sweep(SWEEP, Toy(), out=tmp_path / "cut", project=None), whole)


@pytest.mark.slow
def test_a_killed_training_goes_on_from_its_checkpoint(tmp_path):
    config = {"method": "grid", "metric": SWEEP["metric"], "parameters": {"lr": {"values": [1e-4, 3e-4]}, "batch_size": {"value": 8}}}
    whole = run_sweep(config, small_training(), out=tmp_path / "whole", project=None)
    worker = start(tmp_path / "cut", config, "small_training()")
    wait_for(lambda: rows_of(tmp_path / "cut") >= 2 and list((tmp_path / "cut").glob("trial-0000/*/checkpoints/checkpoint-4/trainer_state.json")), 300)
    os.killpg(worker.pid, signal.SIGKILL); worker.wait()
    resumed = run_sweep(config, small_training(), out=tmp_path / "cut", project=None)
    same(resumed, whole)
    assert json.loads(next((tmp_path / "cut/trial-0000").glob("*/summary.json")).read_text())["resumed_from"] > 0


def test_two_workers_never_repeat_a_trial(tmp_path):
    config = {k: v for k, v in SWEEP.items() if k != "early_terminate"}
    alone = run_sweep(config, Toy(), out=tmp_path / "alone", project=None)
    crew = run_sweep(config, Toy(0.02), out=tmp_path / "crew", workers=2, project=None)
    same(crew, alone)  # without early stopping nothing depends on who is faster
    assert all(len(p.read_text().splitlines()) in (0, 10) for p in (tmp_path / "crew").glob("trial-*/metrics.jsonl")), "a trial ran twice"
    spans = sorted((min(t), max(t)) for t in ([f.stat().st_ctime for f in p.iterdir()] for p in (tmp_path / "crew").glob("trial-*")))
    assert any(nxt[0] < cur[1] for cur, nxt in zip(spans, spans[1:])), "the workers never worked at the same time"


def test_a_dead_worker_is_named_and_its_trial_taken_over(tmp_path):
    boss = start(tmp_path / "crew", SWEEP, "Toy(0.05)", workers=2)
    wait_for(lambda: rows_of(tmp_path / "crew") >= 12)
    children = subprocess.run(["pgrep", "-P", str(boss.pid), "-f", "spawn_main"], capture_output=True, text=True).stdout.split()
    os.kill(int(children[0]), signal.SIGKILL)
    assert boss.wait(timeout=120) != 0 and "1 of 2 workers ended with status [-9]" in boss.stdout.read()
    sweep = run_sweep(SWEEP, Toy(), out=tmp_path / "crew", project=None)
    assert sweep.trials["trial"].tolist() == list(range(32))


DECAYS = {"method": "grid", "metric": SWEEP["metric"], "parameters": {"lr": {"value": 1e-4}, "batch_size": {"value": 16}, "weight_decay": {"values": [0.01, 0.09, 0.02]}}}


@pytest.mark.parametrize("at, calls", [(0, 3), (4, 4)])  # after some evaluations the first death had got further
def test_a_trial_that_kills_its_workers_fails_and_the_sweep_goes_on(tmp_path, at, calls):
    for call in range(calls):
        worker = start(tmp_path / "out", DECAYS, f"Poison({at})")
        assert worker.wait(timeout=120) == (0 if call == calls - 1 else 9), worker.stdout.read()
    sweep = load_sweep(tmp_path / "out")
    assert sweep.trials["state"].tolist() == ["complete", "failed", "complete"] and sweep.trials.loc[1, "evaluations"] == at
    assert sweep.trials.loc[1, "error"] == "RuntimeError: 2 workers died in this trial without getting further, perhaps for want of memory; their last words are in trial-0001/output.log"


def test_deaths_after_progress_do_not_fail_a_trial(tmp_path):
    config = DECAYS | {"run_cap": 1}
    for want in (9, 9, 9, 0): assert start(tmp_path / "out", config, "Preempted()").wait(timeout=120) == want
    assert load_sweep(tmp_path / "out").trials[["state", "evaluations"]].to_numpy().tolist() == [["complete", 10]]


@pytest.fixture
def wandb_env(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    import wandb.agents.pyagent
    monkeypatch.setattr(wandb.agents.pyagent.Agent, "HEARTBEAT_SLEEP_SECONDS", 0.2)
    for k, v in {"WANDB_API_KEY": "0" * 40, "WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path), "WANDB_SILENT": "true"}.items(): monkeypatch.setenv(k, v)
    for k in ("WANDB_ENTITY", "WANDB_PROJECT"): monkeypatch.setenv(k, "x"); monkeypatch.delenv(k)  # wandb sets them itself: put back afterwards
    return lambda server: monkeypatch.setenv("WANDB_BASE_URL", server.url)


def test_the_wandb_agent_runs_fails_and_stops(tmp_path, wandb_env):
    settings = lambda lr, decay, batch: {"lr": lr, "weight_decay": decay, "batch_size": batch}
    server = WandbServer([settings(1e-4, 0.02, 16), settings(3e-4, 0.09, 64), settings(3e-4, 0.05, 32), settings(5e-5, 0.02, 16)],
                         stop=lambda run: run == "run2" and len(read_trial(tmp_path / "out/trial-run2")) >= 2)
    wandb_env(server)
    try: sweep = run_sweep(SWEEP | {"run_cap": 4}, Toy(0.3), backend="wandb", out=tmp_path / "out")
    finally: server.close()
    assert "hyperband" in server.sweeps[0] and "valid_pearson" in server.sweeps[0]
    t = sweep.trials.set_index("trial")
    assert t["state"].to_dict() == {"run0": "complete", "run1": "failed", "run2": "pruned", "run3": "complete"}
    assert t.loc["run1", "error"] == "MemoryError: batch too large" and 0 < t.loc["run2", "evaluations"] < 10
    assert sweep.best["trial"] == "run0"


def test_the_same_wandb_call_goes_on_with_its_sweep(tmp_path, wandb_env):
    settings = lambda lr: {"lr": lr, "weight_decay": 0.02, "batch_size": 16}
    server = WandbServer([settings(lr) for lr in (1e-4, 3e-4, 5e-5) * 4])
    wandb_env(server)
    call = lambda cap, **more: run_sweep(SWEEP | {"run_cap": cap}, Toy(), backend="wandb", out=tmp_path / "out", **more)
    try:
        first, again, third = call(2), call(2), call(3)
        with pytest.raises(SweepError, match="holds trials of W&B sweep 'sweep1', not 'other'"): call(3, sweep_id="other")
        with pytest.raises(SweepError, match="the other backend than 'local'"): run_sweep(SWEEP, Toy(), out=tmp_path / "out")
    finally: server.close()
    assert len(server.sweeps) == 1 and [s.trials["trial"].tolist() for s in (first, again, third)] == [["run0", "run1"]] * 2 + [["run0", "run1", "run2"]]


def test_an_offline_trial_can_be_uploaded(tmp_path, wandb_env):
    config = {"method": "grid", "metric": SWEEP["metric"], "parameters": {"lr": {"value": 1e-4}, "batch_size": {"value": 16}, "weight_decay": {"value": 0.01}}}
    run_sweep(config, Toy(), out=tmp_path / "sweep")
    server = WandbServer()
    wandb_env(server)
    offline, = (tmp_path / "sweep/trial-0000/wandb").glob("offline-run-*")
    env = {k: v for k, v in os.environ.items() if k != "WANDB_MODE"}
    try: subprocess.run([Path(sys.executable).parent / "wandb", "sync", "--yes", str(offline)], env=env, check=True, timeout=120, capture_output=True)
    finally: server.close()
    rows, = server.rows.values()
    assert [r["evaluation"] for r in rows] == list(range(1, 11))
    assert [round(r["valid_pearson"], 9) for r in rows] == [round(v, 9) for v in load_sweep(tmp_path / "sweep").curves["valid_pearson"]]
