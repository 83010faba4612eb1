"The server as a user starts it: a uvicorn process on a free port, asked over HTTP."
import json
import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

from klue_sts.infer import predict

PAIRS = [("방이 조용하고 깨끗해요.", "객실이 조용하며 청결합니다."), ("내일 오전 일곱 시에 깨워 줘", "내일 아침 비가 오나요?"), ("거실 불을 꺼 줘.", "거실 조명을 꺼 줄래?")]


def start(log, **env):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "uvicorn", "klue_sts.serve:app", "--host", "127.0.0.1", "--port", str(port)],
                               stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "OMP_NUM_THREADS": "1", **env})
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10, trust_env=False)
    for _ in range(200):
        try:
            client.get("/health")
            return process, client
        except httpx.TransportError:
            assert process.poll() is None, f"the server ended with {process.returncode}"
            time.sleep(0.1)
    process.kill()
    raise AssertionError("the server did not answer within 20 s")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    path = tmp_path_factory.mktemp("serve") / "log.txt"
    with path.open("w") as log:
        process, client = start(log, KLUE_STS_MAX_BODY="50000")
        yield process, client, path
        client.close()
        process.kill()
        process.wait()


def upload(client, pairs):
    body = {"results": [{"idx": i, "sentence1": a, "sentence2": b} for i, (a, b) in enumerate(pairs)]}
    return client.post("/pred/file/", files={"file": ("pairs.json", json.dumps(body, ensure_ascii=False).encode(), "application/json")})


def test_pair(server):
    got = server[1].post("/pred/sentences", json={"sentence_1": PAIRS[0][0], "sentence_2": PAIRS[0][1]}).json()
    want = predict(*PAIRS[0])
    assert got["score"] == pytest.approx(want.score, abs=1e-6) and got["pred"] == want.pred
    assert list(got) == ["sentence_1", "sentence_2", "score", "pred", "runtime(sec)"]


def test_file(server):
    got = upload(server[1], PAIRS).json()
    want = predict(*map(list, zip(*PAIRS)))
    assert got["sentences"] == [list(p) for p in PAIRS] and got["preds"] == [p.pred for p in want]
    assert got["scores"] == pytest.approx([p.score for p in want], abs=1e-6)


def test_errors_over_the_wire(server):
    client = server[1]
    json_type = {"content-type": "application/json"}
    assert client.post("/pred/sentences", content=b'{"sentence_1": "\\ud800", "sentence_2": NaN}', headers=json_type).status_code == 422
    assert client.post("/pred/sentences", content=b" " * 50_001, headers=json_type).status_code == 413
    assert client.post("/pred/sentences", content=(b" " * 10_000 for _ in range(10)), headers=json_type).status_code == 413
    assert upload(client, [("가", " ")]).status_code == 422
    assert client.get("/health").status_code == 200


def test_sigterm_ends_it_and_the_log_holds_no_sentence(server):
    process, client, path = server
    assert upload(client, PAIRS).status_code == 200
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) in (0, -signal.SIGTERM)
    log = path.read_text()
    assert "POST /pred/file/" in log and "Traceback" not in log
    assert not any(s in log for pair in PAIRS for s in pair)


def test_broken_model_says_why(tmp_path):
    with (tmp_path / "log.txt").open("w") as log:
        process, client = start(log, KLUE_STS_MODEL=str(tmp_path))
    try:
        r = client.get("/health")
        assert r.status_code == 503 and "give an artefact folder" in r.json()["reason"]
        assert "no model is served" in (tmp_path / "log.txt").read_text()
    finally:
        client.close()
        process.terminate()
        process.wait(timeout=10)


def test_import_loads_neither_a_model_nor_heavy_libraries():
    code = "import sys, klue_sts.serve as s; print([m for m in ('torch', 'pandas', 'transformers', 'onnxruntime', 'tokenizers') if m in sys.modules], s.app.state.scorer)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[] None" and run.stderr == ""


def test_serving_needs_no_torch():
    code = """import sys
from fastapi.testclient import TestClient
from klue_sts.serve import app
with TestClient(app) as c: assert c.post("/pred/sentences", json={"sentence_1": "불 켜 줘", "sentence_2": "조명 켜 줘"}).status_code == 200
print([m for m in ('torch', 'pandas', 'scipy', 'transformers', 'sklearn') if m in sys.modules])"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
