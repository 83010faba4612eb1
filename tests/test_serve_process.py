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


def start(log, *args, **env):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "uvicorn", "klue_sts.serve:app", "--host", "127.0.0.1", "--port", str(port), *args],
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
        assert "no model is loaded" in (tmp_path / "log.txt").read_text()
    finally:
        client.close()
        process.terminate()
        process.wait(timeout=10)


def test_import_loads_neither_a_model_nor_heavy_libraries():
    code = "import sys, klue_sts.serve as s; print([m for m in ('torch', 'pandas', 'transformers', 'onnxruntime', 'tokenizers') if m in sys.modules], s.app.state.engine.loaded)"
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


@pytest.fixture
def own(tmp_path):
    "Starts servers of one test's own, and ends them."
    begun = []

    def begin(*args, **env):
        log = (tmp_path / f"log{len(begun)}.txt").open("w")
        process, client = start(log, *args, **env)
        begun.append((process, client, log))
        return process, client, tmp_path / f"log{len(begun) - 1}.txt"

    yield begin
    for process, client, log in begun:
        client.close()
        process.terminate()
        try: process.wait(timeout=15)
        except subprocess.TimeoutExpired: process.kill()
        log.close()


def until(ok, seconds=10):
    end = time.monotonic() + seconds
    while not ok():
        assert time.monotonic() < end, "too long"
        time.sleep(0.05)


def test_openai_client(own, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=str(own()[1].base_url).rstrip("/") + "/v1", api_key="-", max_retries=0)
    got = client.embeddings.create(model="mini", input=[PAIRS[0][0], PAIRS[0][1]])
    a, b = (d.embedding for d in got.data)
    assert sum(x * y for x, y in zip(a, b)) == pytest.approx(predict(*PAIRS[0]).score, abs=1e-5) and got.usage.total_tokens > 2
    with pytest.raises(openai.UnprocessableEntityError): client.embeddings.create(model="mini", input=" ")


class Load:
    "Threads that keep asking until told to stop; every answer and every failure is kept."

    def __init__(self, base_url, threads=6):
        import threading
        self.stop, self.answers, self.lost, self.refused = threading.Event(), [], [], 0
        self.url = str(base_url)
        self.threads = [threading.Thread(target=self.ask, args=(k,)) for k in range(threads)]
        for t in self.threads: t.start()

    def ask(self, k):
        with httpx.Client(base_url=self.url, timeout=10, trust_env=False) as client:
            while not self.stop.is_set():
                k += 1
                try: r = client.post("/score", json={"pairs": [{"id": k, "sentence1": f"{k}번 방의 불을 꺼 줘", "sentence2": "조명을 꺼 줘"}]})
                except httpx.ConnectError: self.refused += 1; return  # never accepted: the balancer goes elsewhere
                except httpx.HTTPError as e: self.lost.append(repr(e)); return
                self.answers.append((r.status_code, r.status_code == 200 and r.json()["results"][0]["id"] == k))

    def end(self):
        self.stop.set()
        for t in self.threads: t.join(timeout=15)


def test_sigterm_under_load_loses_nothing(own):
    process, client, _ = own(KLUE_STS_CACHE="0")
    load = Load(client.base_url)
    until(lambda: len(load.answers) > 200)
    process.send_signal(signal.SIGTERM)
    until(lambda: httpx.get(str(client.base_url) + "/ready", trust_env=False).status_code == 503, 0.5)
    before = len(load.answers)
    assert process.wait(timeout=10) in (0, -signal.SIGTERM)
    load.end()
    assert load.lost == [] and set(load.answers) <= {(200, True), (429, False)} and len(load.answers) > before and load.refused > 0


def test_the_artefact_is_exchanged_under_load(own, tmp_path):
    import shutil
    from klue_sts.infer import model_path, read_info, write_info
    live = tmp_path / "model"
    shutil.copytree(model_path("mini"), live)
    process, client, _ = own(KLUE_STS_MODEL=str(live))
    load = Load(client.base_url, threads=3)
    onnx = (live / "onnx/model_int8.onnx").read_bytes()
    (live / "onnx/model_int8.onnx").write_bytes(onnx[:5000])
    process.send_signal(signal.SIGHUP)
    until(lambda: "differs from klue_sts.json" in (client.get("/info").json()["reload_error"] or ""))
    assert client.get("/ready").status_code == 200
    (live / "onnx/model_int8.onnx").write_bytes(onnx)
    write_info(live, read_info(live) | {"name": "second"})
    until(lambda: client.get("/info").json()["name"] == "second")
    load.end()
    assert load.lost == [] and load.refused == 0 and set(load.answers) <= {(200, True), (429, False)}


def test_workers(own):
    process, client, log = own("--workers", "2")
    pids = set()
    until(lambda: pids.add(httpx.get(str(client.base_url) + "/info", trust_env=False).json()["process"]) or len(pids) == 2, 20)
    want = [predict(*p).score for p in PAIRS]
    for _ in range(10):
        got = httpx.post(str(client.base_url) + "/score", json={"pairs": [{"sentence1": a, "sentence2": b} for a, b in PAIRS]}, trust_env=False).json()["results"]
        assert [r["score"] for r in got] == pytest.approx(want, abs=1e-6)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=15) in (0, -signal.SIGTERM) and "Traceback" not in log.read_text()


def test_a_client_that_leaves_takes_its_work_along(own):
    process, client, _ = own(KLUE_STS_CACHE="0", KLUE_STS_MAX_WAIT="30", KLUE_STS_BUSY_WAIT="30")
    many = {"pairs": [{"sentence1": f"{i}번째 아주 길고 긴 문장입니다 " * 20, "sentence2": f"{i}번째 다른 문장입니다 " * 20} for i in range(5000)]}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(str(client.base_url) + "/score", json=many, timeout=0.5, trust_env=False)
    time.sleep(1)
    jobs = lambda: sum(float(line.split()[1]) for line in client.get("/metrics").text.splitlines() if line.startswith(("klue_sts_queue_jobs ", "klue_sts_batch_sentences_sum ")))
    first = jobs()
    time.sleep(0.5)
    assert jobs() == first < 5000


@pytest.mark.slow
def test_memory_stays_flat(own):
    process, client, _ = own()
    rss = lambda: next(int(line.split()[1]) for line in open(f"/proc/{process.pid}/status") if line.startswith("VmRSS"))
    rows = [{"pairs": [{"sentence1": f"{k}번 방의 불을 꺼 줘", "sentence2": "조명을 꺼 줘"}]} for k in range(20_000)]
    load = lambda n: [client.post("/score", json=rows[k % 20_000]) for k in range(n)] and None
    load(25_000)
    first = rss()
    for _ in range(7): load(25_000)
    assert rss() < first * 1.03
