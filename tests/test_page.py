"The page in a real headless Chromium against a real uvicorn: what a person sees, hears, types, pastes and saves."
import csv
import io
import json
import os
import re
import shutil
import socket
import threading
import time
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

import klue_sts
from klue_sts.explain import explain
from klue_sts.infer import MAX_CHARS, get_scorer, similarity

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra dev)")
CHROMIUM = next(filter(None, [os.environ.get("CHROMIUM"), *map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))]), None)
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine (put one on PATH or set CHROMIUM)")

STATIC = Path(klue_sts.__file__).parent / "static"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
PAIR = ("회의는 오후 세 시에 시작합니다.", "오후 3시부터 회의가 있습니다.")


def stub_app():
    "The routes the page speaks to, as the server documents them, over the real model and the real explanation."
    app, scorer = FastAPI(docs_url=None), get_scorer()
    app.mount("/static", StaticFiles(directory=STATIC), name="static")

    @app.middleware("http")
    async def headers(request, call_next):
        response = await call_next(request)
        response.headers["Content-Security-Policy"] = "default-src 'self'" + ("; img-src 'self' data:" if request.url.path == "/docs" else "")  # Swagger draws its icons from data: addresses
        return response

    def problem(status, detail, *errors):
        return JSONResponse({"type": "about:blank", "title": "error", "status": status, "detail": detail, "errors": list(errors)}, status, media_type="application/problem+json")

    @app.get("/")
    def page(): return FileResponse(STATIC / "index.html")

    @app.get("/docs", include_in_schema=False)
    def docs(): return FileResponse(STATIC / "docs.html")

    @app.get("/info")
    def info():
        return {"name": scorer.info["name"], "version": klue_sts.__version__, "precision": scorer.precision, "threshold": scorer.info["threshold"], "calibration": scorer.info["calibration"],
                "limits": {"max_chars": MAX_CHARS, "max_rows": 10000, "max_body": 10 * 2**20}, "metrics": scorer.info.get("metrics", {})}

    def one(pair):
        for field in ("sentence1", "sentence2"):
            if why := scorer.problem(pair.get(field), field): return {"error": {"field": field, "detail": why}}
        p = scorer.predict(pair["sentence1"], pair["sentence2"])
        return {"score": p.score, "similarity": p.similarity, "pred": p.pred, "truncated": p.truncated}

    @app.post("/score")
    async def score(request: Request):
        body = await request.json()
        return {"results": [one(p) for p in body["pairs"]], "model": scorer.info["name"], "runtime": 0.0}

    @app.post("/explain")
    async def why(request: Request):
        body = await request.json()
        try: return explain(scorer, body["sentence1"], body["sentence2"]).to_dict()
        except ValueError as e: return problem(422, str(e), {"field": str(e).split(" ")[0], "detail": str(e)})

    return app


def served_app():
    "The real server where it has these routes, else the stub."
    from klue_sts import serve
    return serve.create_app() if "/score" in {getattr(r, "path", "") for r in serve.app.routes} else stub_app()


@pytest.fixture(scope="module")
def site():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(served_app(), host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    for _ in range(200):
        if server.started: break
        time.sleep(0.05)
    assert server.started
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as p:
        b = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield b
        b.close()


@pytest.fixture
def open_page(browser, site):
    "Open the page; at the end nothing may have been logged as an error and no request may have left this machine."
    contexts, said, asked = [], [], []

    def go(path="/", expect_errors=(), **options):
        context = browser.new_context(**{"locale": "ko-KR", "viewport": {"width": 1100, "height": 900}, "accept_downloads": True, **options})
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: m.type in ("error", "warning") and not any(e in m.text for e in expect_errors) and said.append(m.text))
        page.on("pageerror", lambda e: said.append(str(e)))
        page.on("request", lambda r: asked.append(r.url))
        page.goto(site + path)
        page.wait_for_function("() => document.getElementById('info')?.textContent.includes('모델') ?? true")
        return page

    yield go
    for context in contexts: context.close()
    assert said == []
    assert asked and [u for u in asked if not u.startswith((site + "/", "blob:" + site, "data:"))] == []


def compare(page, a, b, how="click"):
    page.fill("#s1", a)
    page.fill("#s2", b)
    page.click("#go") if how == "click" else page.press("#s2", how)


def settled(page):
    page.wait_for_selector("#why:not([hidden])")


# --- one pair

def test_a_pair_is_scored_shown_and_read_out(open_page):
    page, want = open_page(), get_scorer().predict(*PAIR)
    compare(page, *PAIR)
    settled(page)
    shown, answer = f"{want.similarity:.1f}", "같은 뜻" if want.pred else "다른 뜻"
    gauge = page.get_by_role("meter", name="두 문장이 가까운 정도")
    assert [gauge.get_attribute(f"aria-{k}") for k in ("valuemin", "valuemax", "valuenow", "valuetext")] == ["0", "5", shown, f"5점 만점에 {shown}점, {answer}"]
    assert page.text_content("#similarity") == shown and answer in page.inner_text("#verdict")
    assert page.text_content("#cosine") == f"{want.score:.3f}" and page.text_content("#threshold") == f"{get_scorer().info['threshold']:.3f}"
    assert f"5점 만점에 {shown}점" in page.get_by_role("status").first.text_content()
    assert "기준 3.0" in page.text_content("#gauge")


def test_the_arc_and_the_border_stand_where_the_scale_says(open_page):
    page = open_page(reduced_motion="reduce")
    compare(page, *PAIR)
    settled(page)
    at = page.evaluate("""() => {
        const arc = document.querySelector('.track'), total = arc.getTotalLength(), value = Number(getComputedStyle(document.getElementById('gauge')).getPropertyValue('--value'));
        const [dot, line] = [document.querySelector('.needle circle').getBoundingClientRect(), document.querySelector('.border').getBoundingClientRect()];
        const on = (v) => { const p = arc.getPointAtLength(total * v / 5), q = new DOMPoint(p.x, p.y).matrixTransform(arc.getScreenCTM()); return [q.x, q.y]; };
        return { value, dot: [dot.x + dot.width / 2, dot.y + dot.height / 2], line: [line.x + line.width / 2, line.y + line.height / 2], wantDot: on(value), wantLine: on(3) };
    }""")
    assert at["value"] == pytest.approx(get_scorer().predict(*PAIR).similarity, abs=1e-4)
    assert at["dot"] == pytest.approx(at["wantDot"], abs=2) and at["line"] == pytest.approx(at["wantLine"], abs=2)


def test_words_are_marked_by_weight_in_both_sentences(open_page):
    page = open_page()
    a, b = "😀 창문을 꼭 닫아 줘.", "창문  좀 닫아 줄래?"  # an emoji is two units in JavaScript, one character in Python
    compare(page, a, b)
    settled(page)
    found = explain(get_scorer(), a, b)
    for k, words in ((1, found.words1), (2, found.words2)):
        marks = page.locator(f"#marked{k} mark")
        assert marks.all_text_contents() == [w.text for w in words]
        assert page.text_content(f"#marked{k}") == (a, b)[k - 1]
        assert [m.get_attribute("data-sign") == "-" for m in marks.all()] == [w.weight < 0 for w in words]
    heaviest = max([*found.words1, *found.words2], key=lambda w: abs(w.weight))
    style = "e => { const s = getComputedStyle(e); return [parseFloat(s.borderBottomWidth), s.borderBottomStyle, s.backgroundColor]; }"
    strong = page.locator("#why .marked mark[data-level='4']").first.evaluate(style)
    weak = page.locator("#why .marked mark[data-level='0']").first.evaluate(style)
    assert strong[0] > 5 > weak[0] and strong[2] != weak[2]
    assert f"‘{heaviest.text.rstrip('.,?!')}’" in page.text_content("#why-text")
    page.get_by_text("숫자로 보기").click()
    cells = [row.split("\t") for row in page.locator("#weights tbody").inner_text().strip().split("\n")]
    assert [[t.strip() for t in row] for row in cells] == [[str(k), w.text, f"{w.weight:.3f}"] for k, side in ((1, found.words1), (2, found.words2)) for w in side]


def test_keyboard_alone(open_page):
    page = open_page()
    for _ in range(3): page.keyboard.press("Tab")  # skip link, tab, first box
    assert page.evaluate("document.activeElement.id") == "s1"
    page.keyboard.type("불을 켜 줘")
    page.keyboard.press("Tab")
    page.keyboard.type("조명을 켜 줘")
    page.keyboard.press("Control+Enter")
    settled(page)
    assert page.evaluate("document.activeElement.id") == "s2" and page.input_value("#s2") == "조명을 켜 줘"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "go"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.fill("#s2", "같은 뜻을 다르게")
    with page.expect_request("**/score"): page.press("#s2", "Meta+Enter")
    settled(page)


def test_enter_while_composing_hangul_does_not_send(open_page):
    page = open_page()
    page.fill("#s1", "불을"), page.fill("#s2", "조명을")
    page.evaluate("document.getElementById('s2').dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', ctrlKey: true, isComposing: true, bubbles: true}))")
    assert page.is_hidden("#result") and page.text_content("#pair-status") == ""


def test_tabs_follow_the_arrow_keys(open_page):
    page = open_page()
    page.focus("#tab-pair")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "tab-batch" and page.is_visible("#panel-batch") and page.is_hidden("#panel-pair")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "tab-pair" and page.is_visible("#panel-pair")


def test_every_example_can_be_clicked_and_says_how_a_person_reads_it(open_page):
    page, scorer = open_page(), get_scorer()
    buttons = page.locator("#examples button")
    assert buttons.count() == 6 and page.locator("#examples .hard").count() == 4
    for i in range(6):
        buttons.nth(i).click()
        settled(page)
        a, b = page.input_value("#s1"), page.input_value("#s2")
        want = scorer.predict(a, b)
        page.wait_for_function("s => document.getElementById('similarity').textContent === s", arg=f"{want.similarity:.1f}")
        human = page.text_content("#human")
        assert human.startswith("사람이 읽으면 ‘") and human.endswith("모델도 그렇게 보았습니다." if ("같은 뜻" in human) == bool(want.pred) else "모델이 틀렸습니다.")
    page.fill("#s1", "새 문장")
    page.click("#go")
    page.wait_for_selector("#human", state="hidden")


# --- what goes wrong is said in Korean, with the remedy, where it belongs

BAD = {"": "비어 있습니다", "   ": "비어 있습니다", "😀😀": "기호나 이모지뿐", "가" * (MAX_CHARS + 1): f"{MAX_CHARS + 1:,}자입니다. {MAX_CHARS:,}자까지"}


def test_a_bad_sentence_is_named_beside_its_box(open_page):
    page = open_page(expect_errors=["422"])
    for text, said in BAD.items():
        compare(page, "창문을 닫아 줘.", text)
        page.wait_for_selector("#s2[aria-invalid=true]")
        assert said in page.inner_text("#s2-error") and page.inner_text("#s1-error") == ""
        assert page.evaluate("document.activeElement.id") == "s2" and "s2-error" in page.get_attribute("#s2", "aria-describedby").split()
        assert page.is_hidden("#result")
    compare(page, *PAIR)
    settled(page)
    assert page.get_attribute("#s2", "aria-invalid") is None and page.inner_text("#s2-error") == ""


PROBLEMS = {
    429: ("요청이 몰려 있습니다. 7초 뒤에", {"Retry-After": "7"}), 413: ("나누어 보내", {}), 503: ("모델이 아직 준비되지 않았습니다", {}), 504: ("시간 안에 답", {}), 500: ("서버에 문제가 생겼습니다", {}), 401: ("접속 키", {}),
}


def test_problem_json_becomes_a_message_with_the_servers_words(open_page):
    page = open_page(expect_errors=list(map(str, PROBLEMS)))
    alert = page.locator("#pair-alert")
    assert alert.get_attribute("role") == "alert"
    for status, (said, headers) in PROBLEMS.items():
        detail = f"remedy {status} <img src=x onerror=alert(1)>"
        body = json.dumps({"type": "about:blank", "title": "x", "status": status, "detail": detail})
        page.route("**/score", lambda route: route.fulfill(status=status, headers={"content-type": "application/problem+json", **headers}, body=body))
        compare(page, *PAIR)
        alert.get_by_text(detail).wait_for()
        assert said in alert.inner_text() and alert.locator("img").count() == 0 and page.is_hidden("#result")
        page.unroute("**/score")


def test_no_server_is_said_and_a_failing_explanation_leaves_the_score(open_page):
    page = open_page(expect_errors=["ERR_FAILED", "503"])
    page.route("**/explain", lambda route: route.fulfill(status=503, body="{}"))
    compare(page, *PAIR)
    page.wait_for_selector("#why-alert:not([hidden])")
    assert page.is_visible("#similarity") and page.is_hidden("#why") and "재지 못했습니다" in page.text_content("#why-alert")
    page.route("**/score", lambda route: route.abort())
    page.click("#go")
    page.wait_for_selector("#pair-alert:not([hidden])")
    assert "서버에 닿지 못했습니다" in page.text_content("#pair-alert")


def test_a_key_is_asked_for_and_sent(open_page):
    page, keys = open_page(expect_errors=["401"]), []

    def guard(route):
        keys.append(route.request.headers.get("authorization"))
        route.continue_() if keys[-1] == "Bearer sesame" else route.fulfill(status=401, body="{}")

    page.route("**/score", guard)
    compare(page, *PAIR)
    page.wait_for_selector("#key-form:not([hidden])")
    assert page.evaluate("document.activeElement.id") == "key"
    page.keyboard.type("sesame")
    page.keyboard.press("Enter")
    assert page.is_hidden("#key-form") and page.evaluate("document.activeElement.id") == "go"
    page.keyboard.press("Enter")
    settled(page)
    assert keys == [None, "Bearer sesame"]


def test_a_key_that_no_header_can_hold_is_refused_where_it_is_typed(open_page):
    page = open_page(expect_errors=["401"])
    page.route("**/score", lambda route: route.continue_() if route.request.headers.get("authorization") == "Bearer sesame" else route.fulfill(status=401, body="{}"))
    page.evaluate("sessionStorage.setItem('klue_sts.key', '열려라')")  # kept by an earlier version of the page
    page.reload()
    compare(page, *PAIR)
    page.wait_for_selector("#key-form:not([hidden])")
    for bad in ("열려라 참깨", "sesame​", "   "):
        page.fill("#key", bad)
        page.press("#key", "Enter")
        assert page.is_visible("#key-form") and "영문자와 숫자, 기호만" in page.inner_text("#key-error") and page.get_attribute("#key", "aria-invalid") == "true" and page.evaluate("document.activeElement.id") == "key"
    page.fill("#key", " sesame ")  # pasted with the blanks around it
    page.press("#key", "Enter")
    assert page.is_hidden("#key-form") and page.get_attribute("#key", "aria-invalid") is None
    page.click("#go")
    settled(page)


def test_markup_in_a_sentence_stays_text(open_page):
    page = open_page()
    evil = "<img src=x onerror=document.title='hit'><b>굵은</b> 창문을 닫아 줘."
    compare(page, evil, "<script>document.title='hit'</script> 창문 닫아 줘")
    settled(page)
    assert page.text_content("#marked1") == evil and page.locator("#result img, #result b:not(#cosine):not(#threshold), #result script").count() == 0
    page.click("#tab-batch")
    page.fill("#lines", f"{evil}\t창문")
    page.click("#batch-go")
    page.wait_for_selector("#save:not([hidden])")
    assert evil in page.text_content("#rows tbody") and page.locator("#rows img").count() == 0 and "hit" not in page.title()


# --- many pairs

def batch(page, text):
    page.click("#tab-batch")
    page.fill("#lines", text)
    page.press("#lines", "Control+Enter")
    page.wait_for_selector("#save:not([hidden])")


def table(page):
    return [[c.strip() for c in row.locator("th, td").all_inner_texts()] for row in page.locator("#rows tbody tr").all()]


def saved(page):
    with page.expect_download() as info: page.click("#save")
    data = Path(info.value.path()).read_bytes()
    assert data.startswith(b"\xef\xbb\xbf") and b"\r\n" in data
    return info.value.suggested_filename, list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))


def test_pasted_lines_keep_bad_rows_in_place_and_become_a_csv(open_page):
    page, scorer = open_page(), get_scorer()
    lines = [PAIR, ("하나뿐",), ("창문을 닫아 줘.", "😀"), ("=1+1 합계를 알려 줘", "@합계 '알려' \"줘\""), ("a", "b", "c")]
    batch(page, "\n".join("\t".join(x) for x in lines[:2]) + "\n\n" + "\n".join("\t".join(x) for x in lines[2:]))
    rows = table(page)
    assert [r[0] for r in rows] == ["1", "2", "4", "5", "6"]
    want = scorer.predict(*PAIR)
    assert rows[0][2:] == [f"{want.similarity:.1f}", "같은 뜻" if want.pred else "다른 뜻"]
    assert "문장이 하나뿐입니다" in rows[1][1] and "문장 2: 기호나 이모지뿐" in rows[2][1] and "칸이 3개" in rows[4][1]
    assert [r[2:] for r in rows if r[0] in "246"] == [["–", "고칠 줄"]] * 3 and "고칠 줄" not in rows[3]
    assert "5줄 가운데 2줄을 매겼습니다" in page.text_content("#batch-status") and "고칠 줄 3줄" in page.text_content("#batch-status")
    name, got = saved(page)
    assert name == "klue_sts.scored.csv" and [r["line"] for r in got] == ["1", "2", "4", "5", "6"]
    assert float(got[0]["score"]) == pytest.approx(want.score, abs=1e-6) and float(got[0]["similarity"]) == pytest.approx(want.similarity, abs=1e-6) and got[0]["pred"] == str(want.pred)
    assert (got[3]["sentence1"], got[3]["sentence2"]) == ("'=1+1 합계를 알려 줘", "'@합계 '알려' \"줘\"")  # a spreadsheet runs neither
    assert [bool(r["error"]) for r in got] == [False, True, True, False, True] and got[1]["score"] == got[1]["pred"] == ""


QUOTED = 'guid,sentence1,sentence2\r\nx-1,"네, 알겠습니다.","네,\n""알겠습니다""."\r\nx-2,창문을 닫아 줘.,창문 닫아\r\n'
FILES = {
    "pairs.csv": QUOTED.encode("utf-8-sig"), "excel.csv": QUOTED.encode("cp949"), "unicode.tsv": "sentence1\tsentence2\r\n네, 알겠습니다.\t네,\r\n창문을 닫아 줘.\t창문 닫아\r\n".encode("utf-16"),
    "pairs.json": json.dumps({"results": [{"idx": 1, "sentence1": "네, 알겠습니다.", "sentence2": "네,"}, {"idx": 2, "sentence1": "창문을 닫아 줘.", "sentence2": "창문 닫아"}]}).encode(),
    "pairs.jsonl": '{"sentence1": "네, 알겠습니다.", "sentence2": "네,"}\n["창문을 닫아 줘.", "창문 닫아"]\n'.encode(),
}


def choose(page, name, data): page.set_input_files("#file", {"name": name, "mimeType": "", "buffer": data})


def test_files_of_every_kind(open_page):
    page = open_page()
    page.click("#tab-batch")
    for name, data in FILES.items():
        choose(page, name, data)
        page.wait_for_function("() => !document.getElementById('save').hidden && document.getElementById('batch-status').textContent.startsWith('2줄 가운데 2줄')")
        rows = table(page)
        assert len(rows) == 2 and rows[0][1].startswith("네, 알겠습니다.") and rows[1][1].split() == "창문을 닫아 줘. 창문 닫아".split() and all(r[3] in ("같은 뜻", "다른 뜻") for r in rows)
        file, got = saved(page)
        assert file == f"{Path(name).stem}.scored.csv" and len(got) == 2
        if name.endswith("csv"): assert [r["id"] for r in got] == ["x-1", "x-2"] and got[0]["sentence2"] == '네,\n"알겠습니다".' and [r["line"] for r in got] == ["2", "4"]
        page.evaluate("document.getElementById('batch-status').textContent = ''")


def test_a_file_with_one_pair_alone(open_page):
    page = open_page()
    page.click("#tab-batch")
    for name, data in (("one.jsonl", b'{"sentence1": "%s", "sentence2": "%s"}\n'), ("list.jsonl", b'["%s", "%s"]\n'), ("one.json", b'{"sentence_1": "%s", "sentence_2": "%s"}')):
        choose(page, name, data % tuple(s.encode() for s in PAIR))
        page.wait_for_function("() => document.getElementById('batch-status').textContent.startsWith('1줄 가운데 1줄')")
        assert saved(page)[1][0]["sentence2"] == PAIR[1]
        page.evaluate("document.getElementById('batch-status').textContent = ''")


def test_a_row_longer_than_its_header_is_an_error(open_page):
    page = open_page()
    batch(page, "sentence1,sentence2\n오늘, 날씨가 좋다,내일은 비가 온다\n" + ",".join(PAIR))
    rows = table(page)
    assert "칸이 3개입니다" in rows[0][1] and "첫 줄에는 칸이 2개입니다" in rows[0][1] and rows[0][1].startswith("오늘, 날씨가 좋다,내일은 비가 온다") and rows[0][2:] == ["–", "고칠 줄"]
    assert rows[1][3] in ("같은 뜻", "다른 뜻") and "2줄 가운데 1줄을 매겼습니다" in page.text_content("#batch-status")


def test_unreadable_files_say_what_to_do(open_page):
    page = open_page()
    page.click("#tab-batch")
    for name, data, said in [("x.json", b"{", "JSON으로 읽을 수 없는"), ("x.json", b'{"a": 1}', "목록이 없는"), ("x.csv", b"", "견줄 줄이 없습니다"), ("x.csv", b"\xff\x00\xff", "알아볼 수 없는")]:
        choose(page, name, data)
        page.locator("#batch-alert").get_by_text(said).wait_for()
        assert page.is_hidden("#batch-result")


def test_progress_then_cancel_keeps_what_is_done(open_page):
    page, calls = open_page(), []

    def slow(route):
        calls.append(route.request.post_data_json["pairs"])
        if len(calls) < 3: route.continue_()  # the third is never answered

    page.route("**/score", slow)
    page.click("#tab-batch")
    page.fill("#lines", "\n".join(f"{i}번 방이 넓어요.\t{i}번 객실이 넓습니다." for i in range(500)))
    page.click("#batch-go")
    page.wait_for_function("() => document.getElementById('progress').value > 32")
    assert page.get_attribute("#batch-go", "aria-disabled") == "true" and page.is_hidden("#save")
    done = page.evaluate("document.getElementById('progress').value")
    page.wait_for_timeout(100)
    page.click("#cancel")
    page.wait_for_selector("#save:not([hidden])")
    assert page.text_content("#batch-status").startswith("멈추었습니다. 500줄 가운데") and f"남은 줄 {500 - done}줄" in page.text_content("#batch-status")
    assert page.locator("#rows tbody tr").count() == 200 and "남은 줄 300" in page.text_content("#more")
    page.click("#more")
    assert page.locator("#rows tbody tr").count() == 400
    _, got = saved(page)
    assert len(got) == 500 and sum(r["error"] == "매기지 않음" for r in got) == 500 - done and [r["score"] != "" for r in got] == [i < done for i in range(500)]


def test_a_busy_server_is_waited_for(open_page):
    page, seen = open_page(expect_errors=["429"]), []

    def busy(route):
        seen.append(time.monotonic())
        route.fulfill(status=429, headers={"Retry-After": "1"}, body="{}") if len(seen) == 1 else route.continue_()

    page.route("**/score", busy)
    batch(page, "\t".join(PAIR))
    assert len(seen) == 2 and seen[1] - seen[0] >= 1 and "1줄을 매겼습니다" in page.text_content("#batch-status")


# --- looks: dark, narrow, forms a machine can check

LUMINANCE = """([fg, bg]) => {
    const lum = (c) => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
    const [a, b] = [lum(fg), lum(bg)].sort((x, y) => y - x); return (a + 0.05) / (b + 0.05); }"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_in_light_and_dark(open_page, scheme):
    page = open_page(color_scheme=scheme)
    compare(page, *PAIR)
    settled(page)
    colour = lambda selector, name: page.locator(selector).first.evaluate(f"e => getComputedStyle(e).{name}")
    card, paper = colour(".card", "backgroundColor"), colour("body", "backgroundColor")
    assert (page.evaluate(LUMINANCE, [card, "rgb(0, 0, 0)"]) < 3) == (scheme == "dark")
    for selector, ground in (("#verdict", card), (".verdict .hint", card), (".hard", card), (".lead", paper), ("footer", paper), ("footer a", paper), ("h1", paper), (".examples .line", card)):
        assert page.evaluate(LUMINANCE, [colour(selector, "color"), ground]) >= 4.5, (selector, scheme)
    assert page.evaluate(LUMINANCE, [colour("#go", "color"), colour("#go", "backgroundColor")]) >= 4.5
    hint, field = page.locator("#s1").evaluate("e => (({color, opacity}) => [color, opacity])(getComputedStyle(e, '::placeholder'))"), colour("#s1", "backgroundColor")
    channels = lambda rgb: [float(v) for v in re.findall(r"[\d.]+", rgb)[:3]]
    seen = [float(hint[1]) * f + (1 - float(hint[1])) * b for f, b in zip(channels(hint[0]), channels(field))]  # opacity lets the field through
    assert page.evaluate(LUMINANCE, ["rgb({}, {}, {})".format(*seen), field]) >= 4.5, ("placeholder", scheme)


@pytest.mark.parametrize("width", [320, 360])
def test_narrow_screens_never_scroll_sideways(open_page, width):
    page = open_page(viewport={"width": width, "height": 740})
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    compare(page, "가" * 300 + " <긴낱말>" * 3, "https://example.org/" + "a" * 200 + " 주소를 알려 줘")
    settled(page)
    page.get_by_text("숫자로 보기").click()
    assert page.evaluate(wide) == 0
    batch(page, f"{'나' * 300}\t{'a' * 300}\n하나\n" + "\t".join(PAIR))
    assert page.evaluate(wide) == 0
    assert page.evaluate("(e => e.scrollWidth - e.clientWidth)(document.querySelector('.scroll'))") == 0


def test_structure_names_and_language(open_page):
    page = open_page()
    compare(page, *PAIR)
    settled(page)
    found = page.evaluate("""() => {
        const all = (s) => [...document.querySelectorAll(s)], named = (e) => (e.labels?.length || e.getAttribute('aria-label') || e.getAttribute('aria-labelledby') || e.textContent.trim());
        const ids = all('[id]').map((e) => e.id);
        return {
            lang: document.documentElement.lang, title: document.title.length > 5, viewport: !/maximum-scale|user-scalable/.test(document.querySelector('meta[name=viewport]').content),
            landmarks: ['header', 'main', 'footer'].map((s) => all(`body > ${s}`).length), h1: all('h1').length, levels: all('h1,h2,h3').map((e) => +e.tagName[1]),
            unnamed: all('button,input,textarea,select,progress,[role=meter],[role=tab],[role=region],a').filter((e) => !e.hidden && !named(e)).map((e) => e.outerHTML),
            alt: all('img:not([alt])').length, twice: ids.filter((id, i) => ids.indexOf(id) !== i),
            dangling: all('[aria-controls],[aria-labelledby],[aria-describedby],label[for]').flatMap((e) => ['aria-controls', 'aria-labelledby', 'aria-describedby', 'for'].flatMap((a) => (e.getAttribute(a) ?? '').split(/\\s+/).filter(Boolean))).filter((id) => !document.getElementById(id)),
            scopes: all('th:not([scope])').length, inline: all('[style]:not(#gauge), style, script:not([src])').length, positive: all('[tabindex]').filter((e) => e.tabIndex > 0).length,
            live: all('[role=status],[role=alert]').length };
    }""")
    steps = zip(found["levels"], found["levels"][1:])
    assert found["lang"] == "ko" and found["title"] and found["viewport"] and found["landmarks"] == [1, 1, 1] and found["h1"] == 1
    assert all(b - a <= 1 for a, b in steps), found["levels"]
    assert [found[k] for k in ("unnamed", "alt", "twice", "dangling", "scopes", "inline", "positive")] == [[], 0, [], [], 0, 0, 0] and found["live"] >= 4
    page.keyboard.press("Tab")
    page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
    skip = page.locator(".skip")
    skip.focus()
    assert skip.bounding_box()["y"] >= 0
    skip.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_swagger_works_offline(open_page):
    page = open_page("/docs")
    page.get_by_text("/score", exact=True).first.click()
    page.get_by_role("button", name="Try it out").first.click()
    assert page.get_by_role("button", name="Execute").first.is_visible()


def test_motion_is_left_out_when_asked(open_page):
    page = open_page(reduced_motion="reduce")
    assert page.locator(".needle").evaluate("e => getComputedStyle(e).transitionDuration") == "0s"


def test_files_hold_no_outside_address_and_no_html_sink():
    "What the page loads comes from the page's own server, and text is only ever set as text."
    for name in ("index.html", "app.js", "api.js", "batch.js", "table.js", "style.css", "docs.html", "docs.js"):
        text = (STATIC / name).read_text(encoding="utf-8")
        assert "http://" not in text and "https://" not in text, name
        assert not [sink for sink in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "onclick=") if sink in text], name


def test_swagger_copies_are_whole_and_licensed():
    import hashlib
    note = (STATIC / "swagger-ui.LICENSE.txt").read_text(encoding="utf-8")
    assert "Apache License" in note
    for name in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert f"sha256 {hashlib.sha256((STATIC / name).read_bytes()).hexdigest()}  {name}" in note
