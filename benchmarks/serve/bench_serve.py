"""klue_sts.serve against FastAPI + sentence-transformers (torch fp32), same artefact, same pairs, same run.

    OMP_NUM_THREADS=1 python benchmarks/serve/bench_serve.py            # about 12 minutes
    OMP_NUM_THREADS=1 python benchmarks/serve/bench_serve.py mini       # one model only

Every server gets one core (core 0), the load generator the other one; on a machine with fewer than two cores the figures mean nothing.
The cache of klue_sts is off and every sentence is new, so that only computing is compared. base and small have random weights: speed does not depend on them.
"""
import asyncio
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from itertools import count
from pathlib import Path

here = Path(__file__).resolve().parent
sys.path[:0] = [str(here.parent), str(here)]
from common import save  # noqa: E402
from load import closed, opened  # noqa: E402

from klue_sts.data import load_sample  # noqa: E402
from klue_sts.infer import export_onnx, model_path, read_info, write_info  # noqa: E402

SIZES = {"mini": None, "small": dict(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536),
         "base": dict(hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072)}
PEER = "FastAPI + sentence-transformers, torch fp32"
OURS = "klue_sts, int8"
serial = count()


def artefact(name, folder):
    "The packaged model, or one of another size with random weights and the same tokenizer."
    if SIZES[name] is None: return model_path("mini")
    import torch
    from transformers import RobertaConfig, RobertaModel

    from klue_sts.train import build_model
    torch.manual_seed(0)
    out = Path(folder) / name
    shutil.copytree(model_path("mini"), out); shutil.rmtree(out / "onnx")
    RobertaModel(RobertaConfig(vocab_size=32000, max_position_embeddings=514, pad_token_id=0, **SIZES[name]), add_pooling_layer=False).save_pretrained(out)
    pooling = json.loads((out / "1_Pooling/config.json").read_text())
    (out / "1_Pooling/config.json").write_text(json.dumps({k: SIZES[name]["hidden_size"] if "dimension" in k and not isinstance(v, bool) else v for k, v in pooling.items()}))
    export_onnx(build_model(str(out), device="cpu"), out / "onnx/model_int8.onnx", "int8")
    write_info(out, read_info(model_path("mini")) | {"name": name, "dim": SIZES[name]["hidden_size"]})
    return out


def questions():
    "One pair per request, never the same sentence twice."
    df = load_sample("train")
    rows = list(zip(df["sentence1"], df["sentence2"]))
    for i in serial:
        a, b = rows[i % len(rows)]
        body = json.dumps({"pairs": [{"sentence1": f"{i} {a}", "sentence2": f"{i} {b}"}]}, ensure_ascii=False).encode()
        yield b"POST /score HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body


@contextmanager
def server(kind, model):
    "A server process on core 0; gives port, seconds from start to its first score, and pid."
    with socket.socket() as s: s.bind(("127.0.0.1", 0)); port = s.getsockname()[1]
    app = "klue_sts.serve:app" if kind == OURS else "plain_server:app"
    env = {**os.environ, "OMP_NUM_THREADS": "1", "KLUE_STS_MODEL": str(model), "KLUE_STS_CACHE": "0", "MODEL": str(model), "MODE": "per_call" if kind == "per call" else "plain",
           "PYTHONPATH": f"{here}:{here.parent.parent}", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    start = time.perf_counter()
    process = subprocess.Popen(["taskset", "-c", "0", sys.executable, "-m", "uvicorn", app, "--port", str(port), "--log-level", "error", "--no-access-log"], env=env)
    try:
        while True:
            try: asyncio.run(closed(port, questions(), 1, 0.001)); break
            except OSError: time.sleep(0.01)
            if process.poll() is not None: raise RuntimeError(f"{kind} ended with {process.returncode}")
        yield port, time.perf_counter() - start, process.pid
    finally:
        process.terminate()
        try: process.wait(20)
        except subprocess.TimeoutExpired: process.kill()


def quantile(values, q): return round(1000 * sorted(values)[min(int(q * len(values)), len(values) - 1)], 2) if values else None


def spread(values): return {"min": round(min(values), 2), "median": round(statistics.median(values), 2), "max": round(max(values), 2)}


def memory(pid): return round(next(int(x.split()[1]) for x in open(f"/proc/{pid}/status") if x.startswith("VmRSS")) / 1024, 1)


def compare(name, model, rounds=5):
    "Capacity and idle latency of both servers, taking turns; then each under open load."
    seconds = {"mini": 3, "small": 4, "base": 6}[name]
    with server(OURS, model) as (p1, cold, pid1), server(PEER, model) as (p2, cold2, pid2):
        ports, idle, capacity = {OURS: p1, PEER: p2}, {OURS: [], PEER: []}, {OURS: [], PEER: []}
        for port in ports.values(): asyncio.run(closed(port, questions(), 8, 2))
        for _ in range(rounds):
            for kind, port in ports.items(): idle[kind].append(statistics.median(s for _, s in asyncio.run(closed(port, questions(), 1, seconds / 2))[1]))
            for kind, port in ports.items(): capacity[kind].append(asyncio.run(closed(port, questions(), 8, seconds))[0])
        out = {"seconds to the first score": {OURS: round(cold, 2), PEER: round(cold2, 2)}, "MiB": {OURS: memory(pid1), PEER: memory(pid2)},
               "idle p50 (ms)": {k: round(1000 * statistics.median(v), 2) for k, v in idle.items()}, "pairs/s, 8 clients": {k: round(statistics.median(v), 1) for k, v in capacity.items()},
               "idle p50, ours / peer": spread([a / b for a, b in zip(idle[OURS], idle[PEER])]), "pairs/s, ours / peer": spread([a / b for a, b in zip(capacity[OURS], capacity[PEER])])}
        out["open loop"] = {kind: under_load(port, statistics.median(capacity[kind]), seconds + 2) for kind, port in ports.items()}
        out["MiB after"] = {OURS: memory(pid1), PEER: memory(pid2)}
    return out


def under_load(port, capacity, seconds):
    "Goodput (answers within 1 s) and latencies at multiples of the capacity."
    out = {}
    for times in (0.5, 0.9, 1.5, 5):
        got = asyncio.run(opened(port, questions(), times * capacity, seconds))
        good, refused = [s for c, s in got if c == 200], [s for c, s in got if c == 429]
        out[f"{times}x"] = {"offered/s": round(len(got) / seconds, 1), "goodput/s": round(sum(s <= 1 for s in good) / seconds, 1), "accepted": len(good), "refused": len(refused), "unanswered": sum(c == 0 for c, _ in got),
                            "other": sum(c not in (0, 200, 429) for c, _ in got), "p50 (ms)": quantile(good, 0.5), "p99 (ms)": quantile(good, 0.99), "p99 to refuse (ms)": quantile(refused, 0.99)}
        time.sleep(3)
    return out


def per_call(model):
    "One pair, model in memory against model loaded on every call."
    with server(OURS, model) as (port, *_): ours = asyncio.run(closed(port, questions(), 1, 2))[1]
    with server("per call", model) as (port, *_): theirs = asyncio.run(closed(port, questions(), 1, 6))[1]
    a, b = (statistics.median(s for _, s in x[1:]) for x in (ours, theirs))
    return {"ours (ms)": round(1000 * a, 2), "loaded per call (ms)": round(1000 * b, 1), "times as fast": round(b / a, 1)}


def refuse_large():
    "CPU of the server process for a pair of 2 MB of Hangul."
    with server(OURS, model_path("mini")) as (port, _, pid):
        body = json.dumps({"sentence_1": "가" * 700_000, "sentence_2": "나"}, ensure_ascii=False).encode()
        used = lambda: sum(map(int, open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[11:13])) / os.sysconf("SC_CLK_TCK")
        out = {}
        for path in ("/pred/sentences", "/score"):
            data = body if path != "/score" else json.dumps({"pairs": [{"sentence1": "가" * 700_000, "sentence2": "나"}]}, ensure_ascii=False).encode()
            idle = used(); time.sleep(2); idle = (used() - idle) / 2
            before, start, n = used(), time.perf_counter(), 200
            for _ in range(n):
                try: urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, {"content-type": "application/json"}))
                except urllib.error.HTTPError as e: e.read()
                except OSError: pass  # refused while it was still sending
            out[path] = round(1000 * (used() - before - idle * (time.perf_counter() - start)) / n, 2)
    return {"bytes": len(body), "CPU per refusal (ms)": out}


def main():
    if hasattr(os, "sched_setaffinity"): os.sched_setaffinity(0, {1} if os.cpu_count() > 1 else {0})
    names = sys.argv[1:] or list(SIZES)
    with tempfile.TemporaryDirectory() as folder:
        models = {n: artefact(n, folder) for n in names}
        content = {"setup": "server on core 0, load generator on core 1, one thread each; cache off; one pair per request", **{n: compare(n, m) for n, m in models.items()}}
        content["one pair, model loaded on every call"] = {n: per_call(m) for n, m in models.items()}
    content["2 MB of Hangul"] = refuse_large()

    def plot(ax):
        for n in names:
            points = content[n]["open loop"][OURS]
            peak = max(p["goodput/s"] for p in points.values())
            ax.plot([float(k[:-1]) for k in points], [p["goodput/s"] / peak for p in points.values()], "o-", label=f"{n}, klue_sts int8")
            other = content[n]["open loop"][PEER]
            ax.plot([float(k[:-1]) for k in other], [p["goodput/s"] / max(q["goodput/s"] for q in other.values()) for p in other.values()], "x:", label=f"{n}, torch")
        ax.set(xlabel="offered load / capacity", ylabel="goodput / own peak", ylim=(0, 1.1)); ax.legend(frameon=False, fontsize=7)

    save("serve" if len(names) == len(SIZES) else "serve_" + "_".join(names), content, plot)


if __name__ == "__main__":
    main()
