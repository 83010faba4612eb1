"""The real Pororo worker against its converted checkpoint: identical greedy output. Needs a Python 3.8 with pororo, named by KLUE_STS_PORORO_PYTHON."""
import os
import random

import pytest

from klue_sts.pororo import PororoConverted, PororoWorker, convert_pororo, fetch_weights, make_standin

PYTHON = os.environ.get("KLUE_STS_PORORO_PYTHON")
pytestmark = pytest.mark.skipif(not PYTHON, reason="KLUE_STS_PORORO_PYTHON names no Python 3.8 with pororo")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    tmp = tmp_path_factory.mktemp("pororo")
    fetch_weights(tmp / "home", make_standin(tmp / "weights"))
    convert_pororo(tmp / "home", "float32")
    return tmp / "home"


@pytest.fixture(scope="module")
def worker(home):
    w = PororoWorker(home, PYTHON, beam=1)
    yield w
    w.close()


def sentences(source, n=60, seed=0):
    rng = random.Random(seed)
    letters = [chr(c) for c in range(0xAC00, 0xAC00 + 320)] if source == "ko" else [chr(c) for c in range(97, 123)]  # 20 syllables are not in the dictionary
    return [" ".join("".join(rng.choices(letters, k=rng.randint(1, 5))) for _ in range(rng.randint(1, 6))) for _ in range(n)]


@pytest.mark.parametrize("source, target", [("ko", "en"), ("en", "ko")])
def test_worker_and_conversion_agree(home, worker, source, target):
    texts = sentences(source)
    there = worker.translate(texts, source, target)
    assert not [t.error for t in there if t.error and t.error != "empty answer"]
    assert there == PororoConverted(home, "float32", beam=1).translate(texts, source, target)
    assert len({t.text for t in there}) > 30


def test_worker_reports_its_engine_and_bad_languages(worker):
    worker.translate(["가"], "ko", "en")
    assert worker.engine.startswith("pororo 0.4.2 fairseq 0.10.2 torch 1.6")
    with pytest.raises(ValueError, match="ko→fr"):
        worker.translate(["가"], "ko", "fr")
