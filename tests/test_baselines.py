"A study killed outright: the same call goes on, and ends with what an undisturbed study ends with."
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from klue_sts.baselines import Study, run_study
from klue_sts.data import load_sample, split_pairs
from klue_sts.train import mini_path

here = Path(__file__).resolve().parent


def study(out):
    "Four short runs of the packaged model on a few pairs of the sample."
    tr, va = split_pairs(load_sample("train"), valid=0.3)
    settings = Study(epochs=2, seeds=2, seeds_main=2, seeds_epochs=1, batch_size=16)
    sets = {"원본": tr.head(64), "less": tr.head(48)}
    return run_study(settings, mini_path(), sets, va.head(40), load_sample("dev").head(40), Path(out) / "runs", Path(out) / "result.json")


def rows(out):
    path = Path(out) / "result.json"
    return json.loads(path.read_text())["runs"] if path.exists() else []


def test_killed_study_goes_on(tmp_path):
    code = f"import test_baselines as t; t.study({str(tmp_path / 'killed')!r})"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=here, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 300
    while not rows(tmp_path / "killed"):
        assert process.poll() is None and time.monotonic() < end, "no run ended in time"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL); process.wait()
    before = rows(tmp_path / "killed")
    whole = study(tmp_path / "whole")["runs"]
    assert 1 <= len(before) < len(whole) == 4
    stamps = {r["run"]: (tmp_path / "killed/runs" / r["run"] / "summary.json").stat().st_mtime_ns for r in before}
    resumed = study(tmp_path / "killed")["runs"]
    assert [{k: v for k, v in r.items() if k != "seconds"} for r in resumed] == [{k: v for k, v in r.items() if k != "seconds"} for r in whole]
    assert stamps == {k: (tmp_path / "killed/runs" / k / "summary.json").stat().st_mtime_ns for k in stamps}
    assert resumed == rows(tmp_path / "killed")
