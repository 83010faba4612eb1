"`accelerate launch` with two CPU processes trains one run."
import json
import os
import subprocess
import sys
from pathlib import Path

root = Path(__file__).resolve().parent.parent


def test_two_cpu_processes(tmp_path):
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0",
               str(Path(sys.executable).parent / "klue-sts"), "train", "--data", str(root / "data/sample/train.json"), "--max-steps", "4", "--batch-size", "8", "--evals-per-epoch", "20", "--out", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stdout.count("validation Pearson") == 1, "only the main process reports"
    folder, = tmp_path.iterdir()
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["steps"] == 4 and (folder / "model" / "model.safetensors").exists()
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [r["step"] for r in rows if "eval_valid_pearson" in r] == sorted({r["step"] for r in rows if "eval_valid_pearson" in r})
    # 4 steps of 2 x 8 of the 585 training pairs: the batch is shared out, not repeated
    assert abs(rows[-1]["epoch"] - 4 * 16 / summary["train"]["rows"]) < 0.01
