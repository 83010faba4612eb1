"Faults on purpose, seen over HTTP: not ready within a second, no wrong score, and back on its feet."
import logging
import shutil
import threading
import time

import pytest
from fastapi.testclient import TestClient

from klue_sts.infer import get_scorer, model_path, predict, read_info, write_info
from klue_sts.serve import create_app

PAIR = {"sentence1": "거실 불을 꺼 줘.", "sentence2": "거실 조명을 꺼 줄래?"}
WANT = predict(*PAIR.values()).score


@pytest.fixture
def served(monkeypatch):
    "A client without cache, and its engine; the shared scorer is put right afterwards."
    logging.disable(logging.CRITICAL)
    with TestClient(create_app(cache=0, hang=1.5)) as client:
        until(lambda: client.get("/ready").status_code == 200)
        yield client, client.app.state.engine
    get_scorer().__dict__.pop("_forward", None)
    logging.disable(logging.NOTSET)


def until(ok, seconds=5.0):
    "Seconds until `ok()`."
    start = time.monotonic()
    while not ok():
        assert time.monotonic() - start < seconds, "too long"
        time.sleep(0.01)
    return time.monotonic() - start


def score(client, pair=PAIR):
    return client.post("/score", json={"pairs": [pair]})


def down(client): return client.get("/ready").status_code == 503
def up(client): return client.get("/ready").status_code == 200


def right(r): return r.status_code == 200 and r.json()["results"][0]["score"] == pytest.approx(WANT, abs=1e-6)


def test_forward_raises(served):
    client, engine = served
    def broken(*a): raise MemoryError("injected")
    engine.loaded.scorer._forward = broken
    r = score(client)
    assert r.status_code == 503 and r.headers["content-type"] == "application/problem+json" and "MemoryError" in r.json()["detail"]
    assert client.post("/pred/sentences", json={"sentence_1": "불 켜 줘", "sentence_2": "조명 켜 줘"}).status_code == 503
    assert until(lambda: down(client), 1) < 1
    del engine.loaded.scorer._forward
    until(lambda: up(client))
    assert right(score(client))


def test_one_bad_sentence_does_not_spoil_its_batch(served):
    client, engine = served
    scorer = engine.loaded.scorer
    poison, real = scorer.tokenizer.encode("뷁뷁").ids[1], type(scorer)._forward
    def picky(ids, width):
        if any(poison in row for row in ids): raise RuntimeError("injected")
        return real(scorer, ids, width)
    scorer._forward = picky
    answers = {}
    def ask(name, pair): answers[name] = score(client, pair)
    threads = [threading.Thread(target=ask, args=(i, PAIR if i else {"sentence1": "뷁뷁", "sentence2": "가나"})) for i in range(6)]
    for t in threads: t.start()
    for t in threads: t.join()
    assert answers[0].status_code == 503 and all(right(answers[i]) for i in range(1, 6))


def test_a_non_finite_vector_is_no_score(served):
    client, engine = served
    scorer, real = engine.loaded.scorer, engine.loaded.scorer.session
    vector = scorer.encode(["가나다"]) * float("nan")
    scorer.session = type("Nan", (), {"run": lambda self, out, feed: [vector.repeat(len(feed["input_ids"]), 0)]})()
    try:
        assert score(client).status_code == 503 and until(lambda: down(client), 1) < 1
    finally: scorer.session = real
    until(lambda: up(client))
    assert right(score(client))


def test_silently_changed_weights_are_noticed(served):
    client, engine = served
    real = type(engine.loaded.scorer)._forward
    engine.loaded.scorer._forward = lambda ids, width: real(engine.loaded.scorer, ids, width)[:, ::-1]
    assert until(lambda: down(client), 1) < 1 and "no longer gives" in client.get("/ready").json()["reason"]


def test_forward_hangs(served):
    client, engine = served
    release = threading.Event()
    engine.loaded.scorer._forward = lambda *a: release.wait()
    stuck = {}
    t = threading.Thread(target=lambda: stuck.update(r=score(client)))
    t.start()
    took = until(lambda: down(client), 1.3)
    assert took < 1.0
    until(lambda: up(client))
    t.join(5)
    assert stuck["r"].status_code == 503 and "hung" in stuck["r"].json()["detail"] and right(score(client))
    release.set()


def test_worker_dies(served, monkeypatch):
    client, engine = served
    monkeypatch.setattr(threading, "excepthook", lambda *a: None)
    real, fail = engine.queue.take, threading.Event()
    def broken(*a, **kw):
        if not fail.is_set(): fail.set(); raise SystemError("injected")
        return real(*a, **kw)
    engine.queue.take = broken
    old = engine.worker
    until(lambda: not old.is_alive())
    until(lambda: engine.worker is not old and up(client))
    assert right(score(client)) and engine.restarts == 1


def test_deadline(served):
    client, engine = served
    client.app.state.settings.__dict__["deadline"] = 0.2
    real = type(engine.loaded.scorer)._forward
    engine.loaded.scorer._forward = lambda *a: time.sleep(0.5) or real(engine.loaded.scorer, *a)
    r = score(client)
    assert r.status_code == 504 and r.headers["retry-after"] == "1"


def test_a_stream_says_which_rows_failed(served):
    client, engine = served
    client.app.state.settings.__dict__["deadline"] = 0.3
    real, calls = type(engine.loaded.scorer)._forward, []
    def slow(ids, width):
        calls.append(1)
        if len(ids) > 2: time.sleep(0.5)
        return real(engine.loaded.scorer, ids, width)
    engine.loaded.scorer._forward = slow
    body = "\n".join('{"sentence1": "%d번 방의 불을 꺼 줘", "sentence2": "조명을 꺼 줘"}' % i for i in range(40))
    lines = client.post("/score/file", files={"file": ("f", body.encode())}).text.splitlines()
    assert len(lines) == 40 and all('"error"' in line or '"score"' in line for line in lines) and any('"error"' in line for line in lines)


def test_half_written_then_mended_artefact(tmp_path):
    logging.disable(logging.CRITICAL)
    live = tmp_path / "m"
    shutil.copytree(model_path("mini"), live)
    good, info = (live / "onnx/model_int8.onnx").read_bytes(), read_info(live)
    (live / "onnx/model_int8.onnx").write_bytes(good[: len(good) // 2])
    with TestClient(create_app(model=live)) as client:
        assert down(client) and "differs from klue_sts.json" in client.get("/ready").json()["reason"] and score(client).status_code == 503
        (live / "onnx/model_int8.onnx").write_bytes(good)
        until(lambda: up(client))
        assert right(score(client))
        (live / "klue_sts.json").write_text('{"format": 1')
        until(lambda: client.get("/info").json()["reload_error"])
        assert up(client) and right(score(client))
        write_info(live, info | {"name": "mended"})
        until(lambda: client.get("/info").json()["name"] == "mended")
        assert right(score(client))
    logging.disable(logging.NOTSET)


def test_overload_answers_at_once_and_keeps_working(served):
    client, engine = served
    real = type(engine.loaded.scorer)._forward
    engine.loaded.scorer._forward = lambda *a: time.sleep(0.03) or real(engine.loaded.scorer, *a)
    answers, lock = [], threading.Lock()
    def ask(k):
        for i in range(8):
            start = time.monotonic()
            r = score(client, {"sentence1": f"{k}번 방 {i}번 불을 꺼 줘", "sentence2": f"{k}번 방 {i}번 조명을 꺼 줘"})
            with lock: answers.append((r.status_code, time.monotonic() - start, r.headers.get("retry-after")))
    threads = [threading.Thread(target=ask, args=(k,)) for k in range(40)]
    for t in threads: t.start()
    for t in threads: t.join()
    codes = {c for c, *_ in answers}
    assert codes == {200, 429} and all(h == "1" for c, _, h in answers if c == 429)
    assert up(client) and max(s for c, s, _ in answers if c == 200) < 3
