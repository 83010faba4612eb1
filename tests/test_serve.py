"The server in-process: shapes, order, limits, hostile requests, concurrency. No particular score is assumed."
import asyncio
import json
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient

import klue_sts
from klue_sts.data import load_sample
from klue_sts.infer import MAX_CHARS, get_scorer, predict
from klue_sts.serve import BodyLimit, app, create_app

FILE_ROUTES = ["/pred/file/", "/pred/file/multi/", "/pred/file", "/pred/file/multi"]
PAIRS = [("방이 조용하고 깨끗해요.", "객실이 조용하며 청결합니다."), ("내일 오전 일곱 시에 깨워 줘", "내일 아침 비가 오나요?"), ("Wi-Fi가 안 터져요ㅠㅠ 😭", "와이파이 연결이 되지 않습니다.")]


@pytest.fixture(scope="module")
def client():
    with TestClient(app) as c:
        yield c


@pytest.fixture(scope="module")
def tight():
    with TestClient(create_app(max_rows=3, max_body_bytes=20_000)) as c:
        yield c


@pytest.fixture(scope="module")
def dev():
    df = load_sample("dev").head(33)
    return list(zip(df["sentence1"], df["sentence2"]))


def single(client, a, b):
    return client.post("/pred/sentences", json={"sentence_1": a, "sentence_2": b})


def results(pairs):
    return {"results": [{"idx": i + 1, "sentence1": a, "sentence2": b} for i, (a, b) in enumerate(pairs)]}


def upload(client, body, path="/pred/file/"):
    data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    return client.post(path, files={"file": ("pairs.json", data, "application/json")})


# --- the three routes

def test_pair_shape_order_and_types(client):
    r = single(client, *PAIRS[0])
    assert r.status_code == 200 and r.headers["content-type"] == "application/json"
    got = r.json()
    assert list(got) == ["sentence_1", "sentence_2", "score", "pred", "runtime(sec)"]
    assert [type(v) for v in got.values()] == [str, str, float, int, float]
    assert (got["sentence_1"], got["sentence_2"]) == PAIRS[0]
    assert -1 <= got["score"] <= 1 and got["pred"] in (0, 1) and got["runtime(sec)"] >= 0


@pytest.mark.parametrize("path", FILE_ROUTES)
def test_file_shape_order_and_types(client, path):
    r = upload(client, results(PAIRS), path)
    assert r.status_code == 200 and not r.history
    got = r.json()
    assert list(got) == ["sentences", "preds", "scores", "runtime(sec)"]
    assert got["sentences"] == [list(p) for p in PAIRS]
    assert all(type(p) is int for p in got["preds"]) and all(type(s) is float for s in got["scores"]) and type(got["runtime(sec)"]) is float


def test_hangul_stays_and_text_is_echoed_as_sent(client):
    nfd = unicodedata.normalize("NFD", "에어컨을 켜 줘")
    messy = "  大韓民國 ★최고★ 였습니다！！ 😭 "
    r = single(client, nfd, messy)
    assert (r.json()["sentence_1"], r.json()["sentence_2"]) == (nfd, messy)
    assert "최고".encode() in r.content and b"\\u" not in r.content
    assert upload(client, results([(nfd, messy)])).json()["sentences"] == [[nfd, messy]]


def test_pred_follows_the_threshold_of_the_artefact(client, dev):
    got = upload(client, results(dev)).json()
    assert got["preds"] == [int(s >= get_scorer().info["threshold"]) for s in got["scores"]]


def test_trailing_slash_of_the_pair_route(client):
    r = client.post("/pred/sentences/", json={"sentence_1": "가나", "sentence_2": "다라"})
    assert r.status_code == 200 and [h.status_code for h in r.history] in ([], [307])


def test_body_without_content_type(client):
    request = client.build_request("POST", "/pred/sentences", content=json.dumps({"sentence_1": "가나", "sentence_2": "다라"}).encode())
    request.headers.pop("content-type", None)
    assert client.send(request).status_code == 200


def test_unknown_fields_are_ignored_and_a_bom_is_read(client):
    assert client.post("/pred/sentences", content=b'{"sentence_1": "\xea\xb0\x80", "sentence_2": "\xeb\x82\x98", "x": NaN}', headers={"content-type": "application/json"}).status_code == 200
    assert upload(client, b"\xef\xbb\xbf" + json.dumps(results(PAIRS)).encode()).status_code == 200


# --- scores

@pytest.mark.parametrize("n", [1, 2, 7, 33])
def test_every_row_comes_back_in_order(client, dev, n):
    got = upload(client, results(dev[:n]), "/pred/file/multi/").json()
    assert got["sentences"] == [list(p) for p in dev[:n]] and len(got["preds"]) == len(got["scores"]) == n
    assert got["scores"] == pytest.approx([p.score for p in predict(*map(list, zip(*dev[:n])))], abs=1e-6)


def test_file_and_pair_routes_agree(client, dev):
    alone = [single(client, a, b).json() for a, b in dev[:7]]
    together = upload(client, results(dev)).json()
    assert together["scores"][:7] == pytest.approx([r["score"] for r in alone], abs=1e-6)
    assert together["preds"][:7] == [r["pred"] for r in alone]


def test_symmetric_and_identical(client, dev):
    there, back = upload(client, results(dev)).json(), upload(client, results([(b, a) for a, b in dev])).json()
    assert there["scores"] == pytest.approx(back["scores"], abs=1e-6)
    assert single(client, "같은 문장입니다.", "같은 문장입니다.").json()["score"] == pytest.approx(1, abs=1e-4)


def test_sixteen_threads(client, dev):
    want = [p.score for p in predict(*map(list, zip(*dev)))]

    def work(k):
        some = [(k + 5 * j) % len(dev) for j in range(3)]
        got = [single(client, *dev[i]).json() for i in some] + [upload(client, results([dev[i] for i in some])).json()]
        return [r["sentence_1"] for r in got[:3]] == [dev[i][0] for i in some] and [r["score"] for r in got[:3]] == pytest.approx([want[i] for i in some], abs=1e-6) \
            and got[3]["scores"] == pytest.approx([want[i] for i in some], abs=1e-6) and client.get("/health").status_code == 200

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(work, range(32)))


def test_the_model_is_loaded_once(monkeypatch, dev):
    from klue_sts import serve
    loads = []
    real = serve.get_scorer
    monkeypatch.setattr(serve, "get_scorer", lambda model: loads.append(model) or real(model))
    with TestClient(create_app()) as c:
        for a, b in dev[:5]:
            assert single(c, a, b).status_code == 200
    assert loads == [None]


# --- hostile requests: each a clear 4xx, never the request's own text

def raw(data, kind="application/json"):
    return dict(url="/pred/sentences", content=data, headers={"content-type": kind})


def pair(a, b="방이 넓어요."):
    return raw(json.dumps({"sentence_1": a, "sentence_2": b}).encode())


def file(data):
    return dict(url="/pred/file/", files={"file": ("f.json", data)})


def row(**kw):
    return file(json.dumps({"results": [results(PAIRS[:1])["results"][0], kw]}).encode())


HOSTILE = {
    "empty": (pair(""), 422, "sentence_1 is empty"),
    "blank": (pair("가", " \n\t\u3000"), 422, "sentence_2 is empty"),
    "zero width": (pair("\u200b"), 422, "nothing left"),
    "emoji": (pair("😀😀"), 422, "nothing left"),
    "too long": (pair("가" * (MAX_CHARS + 1)), 422, "characters"),
    "number": (pair(7), 422, "sentence_1 must be text"),
    "bool": (pair(True), 422, "must be text"),
    "null": (pair(None), 422, "must be text"),
    "list": (pair(["가"]), 422, "must be text"),
    "NaN": (pair(float("nan")), 422, "must be text"),
    "Infinity": (pair(float("inf")), 422, "must be text"),
    "1e999": (raw(b'{"sentence_1": 1e999, "sentence_2": "a"}'), 422, "must be text"),
    "surrogate": (pair("\ud800"), 422, "surrogate"),
    "surrogate beside a missing field": (raw(b'{"sentence_1": "\\ud800"}'), 422, "sentence_2 is missing"),
    "surrogate as key": (raw(b'{"\\ud800": NaN}'), 422, "sentence_1 is missing"),
    "encoded surrogate": (raw(b'{"sentence_1": "\xed\xa0\x80", "sentence_2": "a"}'), 422, "surrogate"),
    "no body": (raw(b""), 422, "JSON object"),
    "broken JSON": (raw(b'{"sentence_1": '), 422, "not valid JSON"),
    "array": (raw(b"[1, 2]"), 422, "JSON object"),
    "text": (raw('"문장"'.encode()), 422, "JSON object"),
    "NaN body": (raw(b"NaN"), 422, "JSON object"),
    "null body": (raw(b"null"), 422, "JSON object"),
    "surrogate body": (raw(b'"\\ud800"'), 422, "JSON object"),
    "deep": (raw(b"[" * 19_000), 422, "nested too deep"),
    "deep in a field": (raw(b'{"sentence_1": ' + b"[" * 300 + b"]" * 300 + b', "sentence_2": "a"}'), 422, "must be text"),
    "long number": (raw(b"1" * 9000), 422, "too many digits"),
    "CP949": (raw('{"sentence_1": "가"}'.encode("cp949")), 422, "UTF-8"),
    "other content type": (raw(b'{"sentence_1": "a", "sentence_2": "b"}', "text/plain"), 422, "application/json"),
    "form": (dict(url="/pred/sentences", data={"sentence_1": "a", "sentence_2": "b"}), 422, "application/json"),
    "body too large": (raw(b"x" * 20_001), 413, "20000 bytes"),
    "file: other field": (dict(url="/pred/file/", files={"other": ("f.json", b"{}")}), 422, "file is missing"),
    "file: JSON body": (dict(url="/pred/file/", json=results(PAIRS)), 422, "file is missing"),
    "file: no body": (dict(url="/pred/file/multi/"), 422, "file is missing"),
    "file: no boundary": (dict(url="/pred/file/", content=b"x", headers={"content-type": "multipart/form-data"}), 422, "boundary"),
    "file: broken multipart": (dict(url="/pred/file/", content=b"--b\r\nnonsense", headers={"content-type": "multipart/form-data; boundary=b"}), 422, "file"),
    "file: text field": (dict(url="/pred/file/", data={"file": "{}"}), 422, "file is missing"),
    "file: twice": (dict(url="/pred/file/", files=[("file", ("a", b"{}")), ("file", ("b", b"{}"))]), 422, "more than one"),
    "file: empty": (file(b""), 422, "file is empty"),
    "file: blank": (file(b" \n"), 422, "file is empty"),
    "file: CP949": (file("가".encode("cp949")), 422, "not UTF-8"),
    "file: UTF-16": (file("{}".encode("utf-16")), 422, "not UTF-8"),
    "file: binary": (file(bytes(range(256))), 422, "not UTF-8"),
    "file: broken JSON": (file(b'{"results": [}'), 422, "line 1, column 14"),
    "file: array": (file(b"[]"), 422, "results"),
    "file: other shape": (file(b'{"rows": []}'), 422, "results"),
    "file: results no list": (file(b'{"results": {"idx": 1}}'), 422, "results"),
    "file: no rows": (file(b'{"results": []}'), 422, "at least one row"),
    "file: NaN": (file(b"NaN"), 422, "results"),
    "file: surrogate": (file(b'"\\ud800"'), 422, "results"),
    "file: deep": (file(b"[" * 19_000), 422, "too deep"),
    "file: long number": (file(b"1" * 9000), 422, "digits"),
    "file: four rows": (file(json.dumps({"results": [1] * 4}).encode()), 413, "4 rows, at most 3"),
    "file: too large": (file(b" " * 20_000), 413, "20000 bytes"),
    "row: empty text": (row(idx=2, sentence1="", sentence2="나"), 422, "row 1 (idx 2), sentence1 is empty"),
    "row: too long": (row(idx=2, sentence1="a", sentence2="a" * (MAX_CHARS + 1)), 422, "sentence2 has"),
    "row: nothing left": (row(idx=2, sentence1="가", sentence2="★"), 422, "nothing left"),
    "row: missing text": (row(idx=2, sentence1="가"), 422, "row 1 (idx 2), sentence2 is missing"),
    "row: other keys": (row(idx=2, sentence_1="가", sentence_2="나"), 422, "sentence1 is missing"),
    "row: number": (row(idx=2, sentence1=1e308 * 10, sentence2="나"), 422, "must be text"),
    "row: surrogate": (row(idx="\ud800", sentence1="\ud800", sentence2="나"), 422, "surrogate"),
    "row: NaN idx": (row(idx=float("nan"), sentence1=None, sentence2="나"), 422, "row 1, sentence1 must be text"),
    "row: no object": (file(b'{"results": [["\\ud800"]]}'), 422, "row 0 must be an object"),
}


@pytest.mark.parametrize("request_, status, says", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile(tight, request_, status, says):
    r = tight.post(**request_)
    assert r.status_code == status, r.text
    detail = r.json()["detail"]
    assert detail and all(set(d) == {"loc", "msg", "type"} and d["loc"][0] == "body" for d in detail)
    assert says in detail[0]["msg"] and (";" in detail[0]["msg"] or "must be" in detail[0]["msg"])


def test_every_bad_row_is_named_up_to_twenty(client):
    rows = results(PAIRS * 20)["results"]
    for i in range(0, 60, 2):
        rows[i]["sentence2"] = " "
    r = upload(client, {"results": rows})
    detail = r.json()["detail"]
    assert r.status_code == 422 and len(detail) == 21
    assert [d["loc"] for d in detail[:20]] == [["body", "file", "results", 2 * i, "sentence2"] for i in range(20)]
    assert "row 2 (idx 3)" in detail[1]["msg"] and "30 rows are bad" in detail[20]["msg"]


def test_both_sentences_of_a_pair_are_named(client):
    assert [d["loc"][-1] for d in single(client, " ", "😀").json()["detail"]] == ["sentence_1", "sentence_2"]


def test_no_answer_repeats_the_text(client):
    secret = "비밀번호는일이삼사"
    for r in (client.post("/pred/sentences", json={"sentence_1": secret}), single(client, secret, " "), single(client, secret * 300, "가"),
              upload(client, results([(secret, " ")])), upload(client, f'{{"results": {secret}'.encode())):
        assert r.status_code == 422 and secret not in r.text


def test_body_streamed_without_length(tight):
    def chunks():
        for _ in range(100):
            yield b" " * 1000
    r = tight.post("/pred/sentences", content=chunks(), headers={"content-type": "application/json"})
    assert r.status_code == 413 and "20000 bytes" in r.json()["detail"][0]["msg"]


def test_declared_length_is_refused_unread():
    sent, answer = [], []

    async def receive():
        sent.append(1)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def send(message):
        answer.append(message)

    for length in (b"101", b"9" * 5000):
        scope = {"type": "http", "method": "POST", "path": "/pred/file/", "headers": [(b"content-length", length)]}
        asyncio.run(BodyLimit(None, 100)(scope, receive, send))
    assert [m["status"] for m in answer if m["type"] == "http.response.start"] == [413, 413] and not sent


def test_longest_text_and_full_file_pass(tight):
    assert single(tight, "가나 다" * (MAX_CHARS // 4), "짧은 문장").status_code == 200
    assert upload(tight, results(PAIRS)).status_code == 200


def test_other_methods_and_paths(client):
    assert client.get("/pred/sentences").status_code == 405
    assert client.post("/pred/nothing").status_code == 404


# --- health, settings, schema

def test_health(client):
    got = client.get("/health")
    assert got.status_code == 200 and list(got.json()) == ["status", "model", "precision", "version"]
    assert got.json() == {"status": "ok", "model": get_scorer().info["name"], "precision": get_scorer().precision, "version": klue_sts.__version__}


def test_before_start_and_after_stop_503():
    fresh = create_app()
    assert TestClient(fresh).get("/health").json()["status"] == "unavailable"
    with TestClient(fresh) as c:
        assert c.get("/health").status_code == 200
    assert TestClient(fresh).get("/health").status_code == 503


def test_broken_model_folder(monkeypatch, tmp_path):
    (tmp_path / "klue_sts.json").write_text('{"format": 1}')
    monkeypatch.setenv("KLUE_STS_MODEL", str(tmp_path))
    with TestClient(create_app()) as c:
        r = c.get("/health")
        assert r.status_code == 503 and r.json()["status"] == "unavailable" and "package the model again" in r.json()["reason"]
        for r in (single(c, "가", "나"), upload(c, results(PAIRS))):
            assert r.status_code == 503 and "package the model again" in r.json()["detail"][0]["msg"]


def test_settings_from_the_environment(monkeypatch):
    monkeypatch.setenv("KLUE_STS_MAX_ROWS", "2")
    monkeypatch.setenv("KLUE_STS_MAX_BODY", "5000")
    with TestClient(create_app()) as c:
        assert upload(c, results(PAIRS)).status_code == 413 and upload(c, results(PAIRS[:2])).status_code == 200
        assert c.post("/pred/sentences", content=b"x" * 5001).status_code == 413
    monkeypatch.setenv("KLUE_STS_MAX_ROWS", "many")
    with pytest.raises(ValueError, match="KLUE_STS_MAX_ROWS must be a whole number above 0, got 'many'"):
        create_app()


def test_openapi(client):
    spec = client.get("/openapi.json").json()
    assert set(spec["paths"]) >= {"/pred/sentences", "/pred/file/", "/pred/file/multi/", "/score", "/score/file", "/similarity", "/v1/embeddings", "/explain", "/health", "/ready", "/info", "/metrics"}
    schemas = spec["components"]["schemas"]
    assert list(schemas["PairAnswer"]["properties"]) == ["sentence_1", "sentence_2", "score", "pred", "runtime(sec)"]
    assert list(schemas["FileAnswer"]["properties"]) == ["sentences", "preds", "scores", "runtime(sec)"]
    assert schemas["Pair"]["required"] == ["sentence_1", "sentence_2"] and schemas["Pair"]["properties"]["sentence_1"]["maxLength"] == MAX_CHARS
    for path, item in spec["paths"].items():
        if "post" not in item: continue
        assert {"200", "401", "413", "422", "429", "503", "504"} <= set(item["post"]["responses"])
        content = item["post"]["responses"]["422"]["content"]
        assert content["application/json"]["schema"]["$ref"].endswith("/Problem") if path.startswith("/pred/") else list(content) == ["application/problem+json"]
    assert list(spec["paths"]["/pred/file/"]["post"]["requestBody"]["content"]) == ["multipart/form-data"]
    example = {k: v["examples"][0] for k, v in schemas["Pair"]["properties"].items()}
    assert client.post("/pred/sentences", json=example).status_code == 200


# --- the new routes

def score(client, rows, **kw):
    return client.post("/score", json={"pairs": rows}, **kw)


def rows_of(pairs):
    return [{"id": i, "sentence1": a, "sentence2": b} for i, (a, b) in enumerate(pairs)]


@pytest.mark.parametrize("n", [1, 2, 16, 17, 33])
def test_score_rows_in_order_and_as_predicted(client, dev, n):
    got = score(client, rows_of(dev[:n])).json()
    want = predict(*map(list, zip(*dev[:n])))
    assert [r["id"] for r in got["results"]] == list(range(n)) and got["model"] == "mini" and got["runtime"] > 0
    assert [list(r) for r in got["results"]] == [["id", "score", "similarity", "pred", "truncated"]] * n
    for r, p in zip(got["results"], want):
        assert (r["score"], r["similarity"]) == pytest.approx((p.score, p.similarity), abs=1e-6) and (r["pred"], r["truncated"]) == (p.pred, p.truncated)


def test_a_bad_row_costs_the_others_nothing(client, dev):
    rows = rows_of(dev)
    bad = {0: "text", 5: {"id": 1.5, "sentence1": " ", "sentence2": "가"}, 6: {"sentence1": "가"}, 20: {"sentence1": "가", "sentence2": 1}, 32: {"id": "\ud800", "sentence1": "가", "sentence2": "★"}}
    for i, row in bad.items(): rows[i] = row
    r = client.post("/score", content=json.dumps({"pairs": rows}).encode())
    got = r.json()["results"]
    assert r.status_code == 200 and [i for i, row in enumerate(got) if "error" in row] == list(bad)
    assert [got[i]["error"]["field"] for i in bad] == ["pairs.0", "pairs.5.sentence1", "pairs.6.sentence2", "pairs.20.sentence2", "pairs.32.sentence2"]
    assert got[5]["id"] == 1.5 and got[32]["id"] == "\ud800" and "id" not in got[6]
    want = predict(*map(list, zip(*dev)))
    assert all(got[i]["score"] == pytest.approx(want[i].score, abs=1e-6) for i in range(33) if i not in bad)


def test_score_is_symmetric_and_independent_of_the_batch_to_the_bit(client, dev):
    there = score(client, rows_of(dev)).json()["results"]
    back = score(client, rows_of([(b, a) for a, b in dev])).json()["results"]
    with TestClient(create_app(cache=0)) as fresh:
        alone = [score(fresh, rows_of([p])).json()["results"][0]["score"] for p in dev]
    assert [r["score"] for r in there] == [r["score"] for r in back] == alone


@pytest.mark.parametrize("kind", ["csv", "json list", "json results", "ndjson", "bom csv"])
def test_score_file(client, dev, kind):
    rows = [{"sentence1": a, "sentence2": b} for a, b in dev]
    rows[3]["sentence2"] = ""
    if "csv" in kind:
        import csv, io
        out = io.StringIO(); w = csv.DictWriter(out, ["sentence1", "sentence2"]); w.writeheader(); w.writerows(rows)
        data = (b"\xef\xbb\xbf" if "bom" in kind else b"") + out.getvalue().encode()
    else:
        data = {"json list": json.dumps(rows), "json results": json.dumps({"results": rows}), "ndjson": "\n".join(map(json.dumps, rows))}[kind].encode()
    r = client.post("/score/file", files={"file": ("f", data)})
    lines = [json.loads(line) for line in r.text.splitlines()]
    want = predict(*map(list, zip(*dev)))
    assert r.status_code == 200 and r.headers["content-type"] == "application/x-ndjson" and len(lines) == 33 and "error" in lines[3]
    assert [x["score"] for i, x in enumerate(lines) if i != 3] == pytest.approx([p.score for i, p in enumerate(want) if i != 3], abs=1e-6)


def test_similarity_and_embeddings_agree(client, dev):
    texts = [a for a, _ in dev]
    sims = client.post("/similarity", json={"inputs": {"source_sentence": texts[0], "sentences": texts[1:]}}).json()
    plain = client.post("/v1/embeddings", json={"input": texts, "model": "any"}).json()
    packed = client.post("/v1/embeddings", json={"input": texts, "encoding_format": "base64"}).json()
    import base64
    import numpy as np
    a = np.array([d["embedding"] for d in plain["data"]], np.float32)
    b = np.array([np.frombuffer(base64.b64decode(d["embedding"]), "<f4") for d in packed["data"]])
    assert (a == b).all() and [d["index"] for d in plain["data"]] == list(range(33)) and plain["usage"]["total_tokens"] > 33
    assert sims == pytest.approx((a[1:] @ a[0]).tolist(), abs=1e-5)
    assert np.linalg.norm(a, axis=1) == pytest.approx(1, abs=1e-5)
    for size in client.get("/info").json()["dims"]:
        short = np.array([d["embedding"] for d in client.post("/v1/embeddings", json={"input": texts, "dimensions": size}).json()["data"]])
        assert short.shape == (33, size) and short == pytest.approx(a[:, :size] / np.linalg.norm(a[:, :size], axis=1, keepdims=True), abs=1e-6)
    odd = client.post("/v1/embeddings", json={"input": texts, "dimensions": 7})
    assert odd.status_code == 422 and odd.json()["errors"][0]["field"] == "dimensions" and "512 or 256 or 128 or 64 or 32 dimensions, not 7" in odd.text


def test_explain(client):
    pair = {"sentence1": "거실 불을 꺼 줘", "sentence2": "거실 조명을 켜 줘"}
    got = client.post("/explain", json=pair).json()
    assert got["score"] == pytest.approx(predict(*pair.values()).score, abs=1e-6)
    for words, text in ((got["words1"], pair["sentence1"]), (got["words2"], pair["sentence2"])):
        assert [w["text"] for w in words] == text.split() == [text[w["start"]:w["end"]] for w in words]


BAD = {
    "no body": ("/score", b"", 400, "is empty"), "broken": ("/score", b'{"pairs": [', 400, "not valid JSON"), "NaN": ("/score", b'{"pairs": [{"id": NaN}]}', 400, "NaN"), "1e999": ("/score", b'{"pairs": [{"id": 1e999}]}', 400, "too large"),
    "deep": ("/score", b"[" * 19_000, 400, "too deep"), "long number": ("/score", b"1" * 9000, 400, "ordinary length"), "CP949": ("/score", "가".encode("cp949"), 400, "not UTF-8"), "UTF-16": ("/score", "{}".encode("utf-16"), 400, "not UTF-8"),
    "array": ("/score", b"[]", 422, "JSON object"), "null": ("/score", b"null", 422, "JSON object"), "no pairs": ("/score", b"{}", 422, "pairs must be"), "object pairs": ("/score", b'{"pairs": {}}', 422, "pairs must be"),
    "empty pairs": ("/score", b'{"pairs": []}', 422, "at least one"), "four rows": ("/score", b'{"pairs": [1,2,3,4]}', 413, "at most 3"), "large": ("/score", b" " * 20_001, 413, "larger than"),
    "source number": ("/similarity", b'{"inputs": {"source_sentence": 1, "sentences": ["a"]}}', 422, "source_sentence must be text"), "no inputs": ("/similarity", b"{}", 422, "inputs must be"), "empty sentences": ("/similarity", b'{"inputs": {"source_sentence": "a", "sentences": []}}', 422, "at least one"),
    "bad sentence": ("/similarity", b'{"inputs": {"source_sentence": "ab", "sentences": ["ab", null]}}', 422, "inputs.2 must be text"),
    "tokens": ("/v1/embeddings", b'{"input": [[1, 2]]}', 422, "must be text"), "no input": ("/v1/embeddings", b"{}", 422, "input must be"), "format": ("/v1/embeddings", b'{"input": "ab", "encoding_format": "int8"}', 422, "encoding_format"), "dimensions": ("/v1/embeddings", b'{"input": "ab", "dimensions": 7}', 422, "dimensions, not 7"),
    "surrogate": ("/v1/embeddings", b'{"input": "\\ud800"}', 422, "surrogate"), "emoji": ("/explain", '{"sentence1": "😀", "sentence2": "가"}'.encode(), 422, "nothing left"), "missing": ("/explain", b'{"sentence1": "ab"}', 422, "sentence2 must be text"),
    "long": ("/explain", json.dumps({"sentence1": "가" * 2001, "sentence2": "나"}).encode(), 422, "characters"),
}


@pytest.mark.parametrize("path, data, status, says", BAD.values(), ids=BAD.keys())
def test_hostile_new_routes(tight, path, data, status, says):
    r = tight.post(path, content=data, headers={"content-type": "application/json"})
    got = r.json()
    assert r.status_code == got["status"] == status and r.headers["content-type"] == "application/problem+json", r.text
    assert set(got) == {"type", "title", "status", "detail", "errors"} and says in got["detail"]


TEXTS = {"NUL": ("불을\x00 켜 줘", "불을 켜 줘"), "NFD": (unicodedata.normalize("NFD", "에어컨을 켜 줘"), "에어컨을 켜 줘"), "RTL": ("\u202e불을 켜 줘\u202c", "불을 켜 줘"), "zero width": ("불\u200b을 켜 줘", "불 을 켜 줘"), "emoji": ("불을 켜 줘 😭🏽", "불을 켜 줘")}


@pytest.mark.parametrize("odd, plain", TEXTS.values(), ids=TEXTS.keys())
def test_odd_text_scores_as_its_plain_form(client, odd, plain):
    got = score(client, rows_of([(odd, "조명을 켜 줄래?"), (plain, "조명을 켜 줄래?")])).json()["results"]
    assert got[0]["score"] == got[1]["score"]


def test_two_megabytes_are_refused_cheaply(client):
    import time
    body = json.dumps({"sentence_1": "가" * 700_000, "sentence_2": "나"}, ensure_ascii=False).encode()
    spent = []
    for _ in range(5):
        start = time.process_time()
        r = client.post("/pred/sentences", content=body, headers={"content-type": "application/json"})
        spent.append(time.process_time() - start)
        assert r.status_code == 413
    assert len(body) > 2e6 and min(spent) < 0.02  # the test client's own work included


@pytest.mark.parametrize("depth", [1, 300, *range(900, 1001, 4)])
def test_a_nested_id_is_its_rows_error(client, depth):
    rows = [f'{{"id": {"[" * depth}{"]" * depth}, "sentence1": "방이 넓어요.", "sentence2": "객실이 넓습니다."}}', json.dumps(rows_of(PAIRS[:1])[0])]
    json_, lines = client.post("/score", content=f'{{"pairs": [{",".join(rows)}]}}'), client.post("/score/file", files={"file": ("f", "\n".join(rows[::-1]).encode())})
    assert (json_.status_code == 200 and "id must be text" in json_.json()["results"][0]["error"]["detail"]) or (json_.status_code == 400 and "too deep" in json_.text)
    got = [json.loads(line) for line in lines.text.split("\n") if line]
    assert lines.status_code == 200 and len(got) == 2 and "score" in got[0] and "error" in got[1]


def test_an_upload_above_the_limits_is_refused_before_it_is_built(client):
    import tracemalloc
    for data in (b"{}\n" + b"x\n" * 10**6, b"sentence1,sentence2\n" + b"a,b\n" * 10**6):
        tracemalloc.start()
        r = client.post("/score/file", files={"file": ("f", data)})
        peak = tracemalloc.get_traced_memory()[1]; tracemalloc.stop()
        assert r.status_code == 413 and "more than 10000 rows" in r.json()["detail"] and peak < 15 * len(data)


# --- a new artefact between the parts of one request

@pytest.mark.parametrize("swaps, status", [(1, 200), (9, 503)])
def test_vectors_of_two_artefacts_never_meet(swaps, status):
    from klue_sts.engine import Loaded
    from klue_sts.infer import Scorer
    texts = [f"{i}번 방이 조용하고 깨끗해요." for i in range(201)]
    with TestClient(create_app()) as c:
        engine, made, submit = c.app.state.engine, [], c.app.state.engine.submit
        def swapping(*a, **kw):
            future = submit(*a, **kw); found = future.result(10)
            if len(made) < swaps: made.append(Scorer()); engine.loaded = Loaded(made[-1], 100)
            return future
        engine.submit = swapping
        for path, body in (("/v1/embeddings", {"input": texts}), ("/similarity", {"inputs": {"source_sentence": texts[0], "sentences": texts}})):
            r = c.post(path, json=body); made.clear()
            assert r.status_code == status, r.text
            if status == 503: assert "replaced" in r.json()["detail"]


# --- guarding

def test_security_headers(client):
    for r in (client.get("/health"), client.post("/score", content=b""), client.get("/nothing")):
        assert r.headers["x-content-type-options"] == "nosniff" and r.headers["content-security-policy"].startswith("default-src 'self'") and r.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in r.headers


def test_no_telemetry_of_the_framework(monkeypatch):
    "FastAPI reports requests to whatever OpenTelemetry is set up in the process, where it can; this server does not."
    opened = create_app()
    reporter = getattr(opened, "_native_telemetry", None)
    if reporter is None: pytest.skip("this FastAPI has no telemetry of its own")
    monkeypatch.setattr(type(reporter), "enabled", lambda self: pytest.fail("the request was offered to FastAPI's telemetry"))
    with TestClient(opened) as c: assert c.get("/health").status_code == 200 and single(c, *PAIRS[0]).status_code == 200


def test_cross_origin_is_closed_unless_opened():
    ask = {"origin": "https://a.example", "access-control-request-method": "POST"}
    with TestClient(create_app()) as c:
        assert "access-control-allow-origin" not in c.options("/score", headers=ask).headers
    with TestClient(create_app(cors="https://a.example")) as c:
        assert c.options("/score", headers=ask).headers["access-control-allow-origin"] == "https://a.example"
        assert "access-control-allow-origin" not in c.options("/score", headers=ask | {"origin": "https://b.example"}).headers
    with TestClient(create_app(cors="https://a.example", rate=0.001, burst=1, api_keys="k")) as c:
        sent = lambda key: score(c, rows_of(PAIRS[:1]), headers={"origin": "https://a.example", "authorization": f"Bearer {key}"})
        answers = [sent("x"), sent("k"), sent("k")]
        assert [r.status_code for r in answers] == [401, 200, 429]
        assert {r.headers.get("access-control-allow-origin") for r in answers} == {"https://a.example"} and answers[2].headers["access-control-expose-headers"] == "retry-after"


def test_api_key():
    with TestClient(create_app(api_keys="하나, two")) as c:
        bad = [c.post(p, headers=h) for p in ("/score", "/pred/sentences") for h in ({}, {"authorization": "Bearer x"}, {"authorization": "two"})]
        assert {r.status_code for r in bad} == {401} and bad[0].headers["www-authenticate"] == "Bearer"
        assert score(c, rows_of(PAIRS), headers={"authorization": "Bearer two"}).status_code == 200
        assert score(c, rows_of(PAIRS), headers={"authorization": "Bearer 하나".encode()}).status_code == 200
        assert [c.get(p).status_code for p in ("/health", "/ready", "/info", "/metrics")] == [200] * 4


def test_rate_limit():
    with TestClient(create_app(rate=0.5, burst=2)) as c:
        got = [score(c, rows_of(PAIRS[:1])) for _ in range(4)]
        assert [r.status_code for r in got] == [200, 200, 429, 429] and int(got[3].headers["retry-after"]) >= 1
        assert c.get("/health").status_code == 200


def test_info_and_metrics(client):
    got = client.get("/info").json()
    assert got["name"] == "mini" and got["threshold"] == get_scorer().info["threshold"] and got["limits"]["max_chars"] == MAX_CHARS and got["limits"]["max_rows"] == 10_000
    score(client, rows_of(PAIRS))
    client.get("/wp-login.php")
    text = client.get("/metrics").text
    assert 'klue_sts_requests_total{route="/score",status="200"}' in text and "wp-login" not in text and "klue_sts_ready 1.0" in text and "klue_sts_batch_sentences_bucket" in text and "klue_sts_queue_jobs" in text


def test_uploads_never_touch_the_disk(client, monkeypatch):
    import tempfile
    def full(*a, **kw): raise OSError(28, "No space left on device")
    monkeypatch.setattr(tempfile, "_mkstemp_inner", full)
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", full)
    body = results(PAIRS * 10)
    body["results"][0]["padding"] = "x" * (3 * 2**20)
    assert upload(client, body).status_code == 200
