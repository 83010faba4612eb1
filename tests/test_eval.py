"Reports that must survive odd data, a clean process, and a kill in the middle of saving. No particular figure is assumed."
import json
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from klue_sts.data import load_sample
from klue_sts.eval import data_facts, evaluate, make_report, save_report


def run(code, *args):
    return subprocess.run([sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True, timeout=120)


def strict_json(text):
    "JSON without NaN or Infinity, which other languages cannot read."
    def refuse(name):
        raise AssertionError(f"{name} in JSON")
    return json.loads(text, parse_constant=refuse)


def test_import_and_evaluation_need_no_torch_sklearn_or_matplotlib():
    done = run("import sys; from klue_sts.eval import evaluate; from klue_sts.data import load_sample\n"
               "evaluate(load_sample('dev').head(20), n_boot=100)\n"
               "print([m for m in ('torch', 'transformers', 'sklearn', 'matplotlib') if m in sys.modules])")
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_row_order_does_not_change_the_figures():
    df = load_sample("dev")
    a, b = (evaluate(d, n_boot=100).metrics["value"] for d in (df, df.sample(frac=1, random_state=3)))
    assert np.allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_any_scored_frame_makes_a_report(seed, tmp_path):
    rng = np.random.default_rng(seed)
    n = [2, 3, 4, 7, 60, 200][seed]
    similarity = np.full(n, 2.0) if seed == 3 else rng.uniform(0, 5, n)
    scored = pd.DataFrame({"guid": [f"g|{i}" for i in range(n)], "source": rng.choice(["가|나", "b", "c"], n), "true": rng.integers(0, 6, n).astype(float),
                           "score": similarity / 5, "similarity": similarity, "pred": (similarity >= 3).astype(int)})
    report = make_report(scored, {"name": "any"}, {"name": "random", "digest": "-", "n": n}, n_boot=100)
    out = save_report(report, tmp_path / "report")
    saved = strict_json((out / "metrics.json").read_text(encoding="utf-8"))
    assert sum(r["n"] for r in saved["bands"]) == sum(sum(v for k, v in r.items() if k != "group") for r in saved["confusion"]) == n
    for m in saved["metrics"]:
        if m["metric"] in ("pearson", "spearman", "within_source"):
            assert m["value"] is None or -1 <= m["value"] <= 1
        if m["metric"] in ("f1", "accuracy"):
            assert m["value"] is None or 0 <= m["value"] <= 1
    assert (saved["metrics"][0]["value"] is None) == (np.ptp(scored["true"]) == 0 or np.ptp(similarity) == 0)
    table = [line for line in (out / "report.md").read_text(encoding="utf-8").splitlines() if line.startswith("| 가")]
    assert all(line.replace("\\|", "").count("|") == 10 for line in table)


def test_a_kill_in_the_middle_of_saving_leaves_the_old_report_whole(tmp_path):
    df = load_sample("dev").head(30)
    out = tmp_path / "report"
    evaluate(df, out=out, n_boot=100)
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    done = run("import os, signal, sys; import klue_sts.eval as e; from klue_sts.data import load_sample\n"
               "e.plot_calibration = lambda scored: os.kill(os.getpid(), signal.SIGKILL)\n"
               "e.evaluate(load_sample('dev').tail(30), out=sys.argv[1], n_boot=100)", out)
    assert done.returncode == -signal.SIGKILL
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    assert evaluate(df.tail(10), out=out, n_boot=100).data["n"] == strict_json((out / "metrics.json").read_text(encoding="utf-8"))["data"]["n"] == 10


def test_a_folder_with_other_files_is_never_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds other things than a report"):
        evaluate(load_sample("dev").head(10), out=tmp_path, n_boot=100)
    with pytest.raises(ValueError, match="holds other things than a report"):
        evaluate(load_sample("dev").head(10), out=tmp_path / "thesis.txt", n_boot=100)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_part_of_known_data_does_not_pass_for_the_whole():
    df = load_sample("dev")
    assert data_facts(df)["name"] == "klue_sts sample dev"
    assert data_facts(df.drop(index=5))["name"] == data_facts(df.assign(real_label=5 - df["real_label"]))["name"] == "unnamed"
