"Downloads against a local server: checksum, cache, retry, time-out, and what the user is told."
import hashlib
import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest

from klue_sts import data
from klue_sts.data import DataError, content_digest, fetch_file, frame_from_records, load_klue_sts, write_pairs

RECORDS = [{"guid": f"toy-{i}", "source": "airbnb-rtt", "sentence1": f"방이 {i}개 있어요.", "sentence2": f"객실은 {i}개입니다.",
            "labels": {"label": 4.0, "real-label": 4.0, "binary-label": 1}} for i in range(3)]
BODY = json.dumps(RECORDS, ensure_ascii=False).encode()
NAME = "klue-sts-v1.1_dev.json"


@contextmanager
def server(*answers):
    "A server that gives these (status, body, seconds of silence) in turn, the last one for ever; yields its address and the list of requests."
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, body, wait = answers[min(len(seen), len(answers) - 1)]
            seen.append(self.path)
            Event().wait(wait)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            try:
                self.wfile.write(body)
            except BrokenPipeError:
                pass

        def log_message(self, *args):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=http.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{http.server_port}/", seen
    finally:
        http.shutdown()


@pytest.fixture
def registry(monkeypatch):
    "The dev file pinned to our toy body, no local folder, no waiting between tries."
    monkeypatch.setattr(data, "_FILES", data._FILES | {NAME: ("http://unused/", hashlib.sha256(BODY).hexdigest())})
    monkeypatch.setattr(data, "_DIGESTS", {("klue", "dev"): content_digest(frame_from_records(RECORDS)), ("klue", "train"): "0" * 64})
    monkeypatch.delenv("KLUE_STS_DATA", raising=False)
    monkeypatch.setattr("pooch.core.time.sleep", lambda s: None)


def test_downloaded_once_then_cached(registry, tmp_path):
    with server((200, BODY, 0)) as (url, seen):
        first = load_klue_sts("dev", base_url=url, cache=tmp_path)
        again = load_klue_sts("dev", base_url=url, cache=tmp_path)
    assert seen == ["/" + NAME]
    assert first.attrs["from"] == f"github:{NAME}" and len(first) == 3
    assert first.equals(again)


def test_hub_parquet(registry, tmp_path):
    pytest.importorskip("pyarrow")
    import pandas as pd
    pd.DataFrame(RECORDS).to_parquet(tmp_path / "x.parquet")
    with server((200, (tmp_path / "x.parquet").read_bytes(), 0)) as (url, seen):
        df = load_klue_sts("dev", via="hub", base_url=url, cache=tmp_path)
    assert seen == ["/validation-00000-of-00001.parquet"] and df.attrs["from"].startswith("hub:") and df["label"].tolist() == [4.0] * 3


def test_server_errors_are_retried(registry, tmp_path):
    with server((503, b"", 0), (500, b"", 0), (200, BODY, 0)) as (url, seen):
        assert fetch_file(NAME, base_url=url, cache=tmp_path).read_bytes() == BODY
    assert len(seen) == 3


def test_wrong_content_is_refused_and_leaves_nothing(registry, tmp_path):
    with server((200, BODY[:-5], 0)) as (url, seen):
        with pytest.raises(ValueError, match="(?i)hash"):
            fetch_file(NAME, base_url=url, cache=tmp_path, retries=0)
    assert not list(tmp_path.iterdir())


def test_file_without_a_checksum_is_checked_by_content(registry, tmp_path):
    with server((200, BODY, 0)) as (url, _):
        with pytest.raises(DataError, match="content differs from KLUE-STS v1.1 train"):
            load_klue_sts("train", base_url=url, cache=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("sent", [b"<html>please log in</html>", b'{"message": "not here"}', b"[1, 2]", "\ud55c".encode("cp949")])
def test_a_page_instead_of_the_file_does_not_stay(registry, tmp_path, sent):
    with server((200, sent, 0), (200, sent, 0), (200, BODY, 0)) as (url, seen):
        for _ in range(2):
            with pytest.raises(ConnectionError, match="not that file.*set KLUE_STS_DATA"): load_klue_sts("train", base_url=url, cache=tmp_path)
        with pytest.raises(DataError, match="content differs"): load_klue_sts("train", base_url=url, cache=tmp_path)
    assert len(seen) == 3 and not list(tmp_path.iterdir())


def test_the_cache_folder_has_a_name_of_its_own(registry, tmp_path, monkeypatch):
    monkeypatch.setenv("KLUE_STS_DOWNLOADS", str(tmp_path / "here")); monkeypatch.setenv("KLUE_STS_CACHE", "0")  # the server's: how many vectors it remembers
    with server((200, BODY, 0)) as (url, _): assert fetch_file(NAME, base_url=url).parent == tmp_path / "here"


def test_silence_and_absence_say_what_to_do(registry, tmp_path):
    with server((200, BODY, 3)) as (url, _):
        with pytest.raises(ConnectionError, match="set KLUE_STS_DATA"):
            fetch_file(NAME, base_url=url, cache=tmp_path, timeout=0.3, retries=0)
    with pytest.raises(ConnectionError, match="Check the network"):
        fetch_file(NAME, base_url=url, cache=tmp_path, retries=0)
    assert not list(tmp_path.iterdir())


def test_local_folder_comes_first(registry, tmp_path, monkeypatch):
    write_pairs(frame_from_records(RECORDS), tmp_path / "klue" / NAME)
    monkeypatch.setenv("KLUE_STS_DATA", str(tmp_path / "klue"))
    assert load_klue_sts("dev", base_url="http://127.0.0.1:1/").attrs["from"] == f"KLUE_STS_DATA:{NAME}"
    monkeypatch.setenv("KLUE_STS_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="point it at the folder"):
        load_klue_sts("dev")
