"A clean install of the built package, without torch, on every supported Python there is (slow: makes environments)."
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

root = Path(__file__).resolve().parent.parent
SMOKE = """
import sys, pathlib, klue_sts
assert 'site-packages' in klue_sts.__file__, klue_sts.__file__
from klue_sts.infer import predict
assert 0 <= predict('불 켜 줘', '조명 좀 켜').similarity <= 5
from klue_sts.data import load_sample
from klue_sts.metrics import sts_metrics
dev = load_sample('dev'); scored = predict(dev)
m = sts_metrics(scored['similarity'], dev['real_label'], dev['source'])
assert m['n'] == 130 and m['pearson'] > 0
from klue_sts.cli import main
assert main(['data', 'sample', '--clean', 'default']) == 0 and main(['predict', '불 켜 줘', '조명 켜 줘']) == 0
from klue_sts.serve import app
assert 'torch' not in sys.modules
try: import torch
except ImportError: print('ok', sys.version_info[:2])
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    source = out / "source"
    shutil.copytree(root, source, ignore=shutil.ignore_patterns(".venv*", ".git", "runs", "build", "*.egg-info", "__pycache__"))
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(out), str(source)], check=True)
    return next(out.glob("*.whl"))


@pytest.mark.slow
@pytest.mark.parametrize("python", ["python3.10", "python3.11", "python3.12", "python3.13"])
def test_core(wheel, tmp_path, python):
    if not shutil.which(python) or subprocess.run([python, "-c", "import venv, ensurepip"], capture_output=True).returncode:
        pytest.skip(f"{python} is not on this machine")
    subprocess.run([python, "-m", "venv", str(tmp_path / "env")], check=True)
    env_python = str(tmp_path / "env/bin/python")
    subprocess.run([env_python, "-m", "pip", "install", "-q", "-c", str(root / "constraints.txt"), str(wheel)], check=True)
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "KLUE_STS_MODEL")}
    run = subprocess.run([env_python, "-c", SMOKE], capture_output=True, text=True, cwd=tmp_path, env=clean)
    assert run.returncode == 0 and "ok" in run.stdout, run.stderr
