"""klue_sts.serve against FastAPI + sentence-transformers (torch fp32), same artefact, same pairs, same run.

    OMP_NUM_THREADS=1 python benchmarks/serve/bench_serve.py                  # everything, about 30 minutes
    OMP_NUM_THREADS=1 python benchmarks/serve/bench_serve.py mini             # one part: mini, small, base, peers, call, big, memory or stop

A part is written into results/serve.json as soon as it is measured; the others stay as they are. Every server gets one core (core 0), the load generator the other one; on a machine with
fewer than two cores the figures mean nothing. A server is bound to its core after it has started: ONNX Runtime uses the CPU's matrix unit (AMX) only where a self-test at import could move a
thread to another core, as it can in a container with a CPU quota. The cache of klue_sts is off and every sentence is new, so that only computing is compared. base and small have random
weights: speed does not depend on them. `peers` asks infinity-emb and fastembed for the vectors of a pair; both live in an environment of their own, whose Python is named by KLUE_STS_PEERS:

    python -m venv peers && peers/bin/pip install "infinity-emb[server,torch]" fastembed fastapi uvicorn
"""
import asyncio
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

here = Path(__file__).resolve().parent
sys.path[:0] = [str(here.parent), str(here)]
from common import results, save  # noqa: E402
from load import closed, connect, now, opened, run  # noqa: E402

from klue_sts.data import load_sample  # noqa: E402
from klue_sts.infer import export_onnx, model_path, read_info, write_info  # noqa: E402

SIZES = {"mini": None, "small": dict(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536),
         "base": dict(hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072)}
PEER = "FastAPI + sentence-transformers, torch fp32"
OURS = "klue_sts, int8"
PARTS = [*SIZES, "peers", "call", "big", "memory", "stop"]
CLIENTS = 6  # at most four pairs may wait where a pair costs more than 2.5 ms, so more clients would only be refused
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
    for part in (modules := json.loads((out / "modules.json").read_text()))[2:]: shutil.rmtree(out / part["path"])  # the mini's bag and turn fit no other encoder
    (out / "modules.json").write_text(json.dumps(modules[:2]))
    RobertaModel(RobertaConfig(vocab_size=32000, max_position_embeddings=514, pad_token_id=0, **SIZES[name]), add_pooling_layer=False).save_pretrained(out)
    pooling = json.loads((out / "1_Pooling/config.json").read_text())
    (out / "1_Pooling/config.json").write_text(json.dumps({k: SIZES[name]["hidden_size"] if "dimension" in k and not isinstance(v, bool) else v for k, v in pooling.items()}))
    export_onnx(build_model(str(out), device="cpu"), out / "onnx/model_int8.onnx", "int8")
    write_info(out, read_info(model_path("mini")) | {"name": name, "dim": SIZES[name]["hidden_size"]})
    return out


def questions(each=1, among=None):
    "`each` pairs per request, never the same sentence twice; with `among`, four in five pairs are one of that many."
    df = load_sample("train")
    rows = list(zip(df["sentence1"], df["sentence2"]))
    for i in serial:
        n = [i % among if among and i % 5 else i * each + k for k in range(each)]
        body = json.dumps({"pairs": [{"sentence1": f"{k} {rows[k % len(rows)][0]}", "sentence2": f"{k} {rows[k % len(rows)][1]}"} for k in n]}, ensure_ascii=False).encode()
        yield b"POST /score HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body


def texts_of_pairs(path):
    "Both sentences of a pair for their vectors, OpenAI's schema; never the same sentence twice."
    df = load_sample("train")
    rows = list(zip(df["sentence1"], df["sentence2"]))
    for i in serial:
        body = json.dumps({"model": "mini", "input": [f"{i} {t}" for t in rows[i % len(rows)]]}, ensure_ascii=False).encode()
        yield b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % (path.encode(), len(body)) + body


def for_others(folder):
    "The mini's transformer as infinity-emb and fastembed read it, without the bag of pieces, which neither knows: module names of sentence-transformers 3, and an ONNX graph that gives token vectors, which fastembed pools itself."
    import torch

    from klue_sts.losses import open_encoder
    out = Path(folder) / "tokens"
    shutil.copytree(model_path("mini"), out); shutil.rmtree(out / "onnx"); (out / "onnx").mkdir()
    older = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}, {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]
    (out / "modules.json").write_text(json.dumps(older))  # as infinity-emb's sentence-transformers 3 knows them
    (out / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 128, "do_lower_case": False}))
    (out / "1_Pooling/config.json").write_text(json.dumps({"word_embedding_dimension": json.loads((out / "config.json").read_text())["hidden_size"], "pooling_mode_mean_tokens": True}))
    special = {f"{name.lower()}_token": f"[{name}]" for name in ("UNK", "PAD", "CLS", "SEP", "MASK")}
    (out / "special_tokens_map.json").write_text(json.dumps(special))
    (out / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 128, **special}))
    encoder, ids = open_encoder(model_path("mini"))[0].model.eval(), torch.ones(2, 8, dtype=torch.long)
    dims = {0: torch.export.Dim("batch", min=1, max=4096), 1: torch.export.Dim("tokens", min=2, max=128)}
    names = ("input_ids", "attention_mask")
    torch.onnx.export(encoder, kwargs={n: ids.clone() for n in names}, f=str(out / "onnx/model.onnx"), input_names=names, output_names=["last_hidden_state"], dynamic_shapes={n: dims for n in names}, dynamo=True, external_data=False, verbose=False)
    return out


@contextmanager
def server(kind, model, cache=0, command=None, ask=questions, **more):
    "A server process on core 0; gives port, seconds from start to its first score, and the process. `command`: of another environment, before --port."
    with socket.socket() as s: s.bind(("127.0.0.1", 0)); port = s.getsockname()[1]
    app = "klue_sts.serve:app" if kind == OURS else "plain_server:app"
    command = command or [sys.executable, "-m", "uvicorn", app, "--log-level", "error", "--no-access-log"]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "KLUE_STS_THREADS": "1", "KLUE_STS_MODEL": str(model), "KLUE_STS_CACHE": str(cache), "MODEL": str(model), "MODE": "per_call" if kind == "per call" else "plain",
           "PYTHONPATH": f"{here}:{here.parent.parent}", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", **more}
    start = now()
    process = subprocess.Popen([*command, "--port", str(port)], env=env, preexec_fn=lambda: os.sched_setaffinity(0, range(os.cpu_count())))
    try:
        while True:
            try:
                if 200 in [status for status, _ in run(closed(port, ask(), 1, 0.001))[1]]: break
            except OSError: pass
            time.sleep(0.01)
            if process.poll() is not None: raise RuntimeError(f"{kind} ended with {process.returncode}")
        cold = now() - start
        subprocess.run(["taskset", "-a", "-p", "-c", "0", str(process.pid)], check=True, stdout=subprocess.DEVNULL)
        yield port, cold, process
    finally:
        process.terminate()
        try: process.wait(20)
        except subprocess.TimeoutExpired: process.kill()


def peers(folder, rounds=5, seconds=3):
    "The vectors of a pair from klue_sts, infinity-emb and fastembed, taking turns."
    python = os.environ.get("KLUE_STS_PEERS")
    if not python: raise SystemExit("KLUE_STS_PEERS is not set: name the Python of an environment with infinity-emb and fastembed, see the top of this file")
    model, theirs, home = model_path("mini"), for_others(folder), str(Path(python).parent)
    known = {OURS: dict(ask=lambda: texts_of_pairs("/v1/embeddings")),
             "infinity-emb, torch": dict(ask=lambda: texts_of_pairs("/embeddings"), PYTHONPATH="", DO_NOT_TRACK="1", INFINITY_ANONYMOUS_USAGE_STATS="0",
                                         command=[f"{home}/infinity_emb", "v2", "--model-id", str(theirs), "--served-model-name", "mini", "--engine", "torch", "--device", "cpu", "--dtype", "float32", "--no-bettertransformer", "--log-level", "error"]),
             "fastembed behind FastAPI, ONNX fp32": dict(ask=lambda: texts_of_pairs("/v1/embeddings"), PYTHONPATH=str(here), MODEL=str(theirs), DIM=str(read_info(model)["dim"]),
                                                         command=[python, "-m", "uvicorn", "fastembed_server:app", "--log-level", "error", "--no-access-log"])}
    idle, many, colds = ({k: [] for k in known} for _ in range(3))
    with ExitStack() as stack:
        ports = {}
        for kind, how in known.items(): ports[kind], colds[kind], _ = stack.enter_context(server(kind, model, **how))
        for kind, port in ports.items(): run(closed(port, known[kind]["ask"](), CLIENTS, 2))
        for _ in range(rounds):
            for kind, port in ports.items(): idle[kind].append(statistics.median(s for _, s in run(closed(port, known[kind]["ask"](), 1, seconds / 2))[1]))
            for kind, port in ports.items(): many[kind].append(run(closed(port, known[kind]["ask"](), CLIENTS, seconds))[0])
    versions = subprocess.run([python, "-c", "from importlib.metadata import version as v; print(v('infinity-emb'), v('fastembed'))"], capture_output=True, text=True, check=True).stdout.split()
    return {"versions": dict(zip(("infinity-emb", "fastembed"), versions)), "seconds to the first vectors": {k: round(v, 2) for k, v in colds.items()}, "idle p50 (ms)": {k: round(1000 * statistics.median(v), 2) for k, v in idle.items()},
            f"pairs/s, {CLIENTS} clients": middle(many), "pairs/s, ours / theirs": {k: spread([a / b for a, b in zip(many[OURS], many[k])]) for k in known if k != OURS},
            "idle p50, ours / theirs": {k: spread([a / b for a, b in zip(idle[OURS], idle[k])]) for k in known if k != OURS}}


def quantile(values, q): return round(1000 * sorted(values)[min(int(q * len(values)), len(values) - 1)], 2) if values else None


def spread(values): return {"min": round(min(values), 2), "median": round(statistics.median(values), 2), "max": round(max(values), 2)}


def memory(pid): return round(next(int(x.split()[1]) for x in open(f"/proc/{pid}/status") if x.startswith("VmRSS")) / 1024, 1)


def compare(name, model, rounds=5):
    "Idle latency and capacity of both servers, taking turns; then each under open load, ours in three rounds."
    seconds = {"mini": 3, "small": 3, "base": 6}[name]
    with server(OURS, model) as (p1, cold, s1), server(PEER, model) as (p2, cold2, s2):
        ports = {OURS: p1, PEER: p2}
        idle, one, many = ({k: [] for k in ports} for _ in range(3))
        for port in ports.values(): run(closed(port, questions(), CLIENTS, 2))
        rss = {OURS: memory(s1.pid), PEER: memory(s2.pid)}
        for _ in range(rounds):
            for kind, port in ports.items(): idle[kind].append(statistics.median(s for _, s in run(closed(port, questions(), 1, seconds / 2))[1]))
            for kind, port in ports.items(): one[kind].append(run(closed(port, questions(), CLIENTS, seconds))[0])
            for kind, port in ports.items(): many[kind].append(16 * run(closed(port, questions(16), 2, seconds))[0])
        out = {"seconds to the first score": {OURS: round(cold, 2), PEER: round(cold2, 2)}, "MiB": rss, "idle p50 (ms)": {k: round(1000 * statistics.median(v), 2) for k, v in idle.items()},
               f"pairs/s, {CLIENTS} clients, one pair per request": middle(one), "pairs/s, 2 clients, 16 pairs per request": middle(many),
               "idle p50, ours / peer": ratio(idle), "pairs/s, ours / peer, one pair per request": ratio(one), "pairs/s, ours / peer, 16 pairs per request": ratio(many)}
        loads = {kind: [under_load(port, statistics.median(one[kind]), 3 * seconds) for _ in range(3 if kind == OURS else 1)] for kind, port in ports.items()}  # ours first: the peer goes on computing long after nobody waits for its answers any more
        out["open loop"] = {kind: typical(rounds) for kind, rounds in loads.items()}
        out["goodput at 5x / peak"] = {kind: spread([r["5x"]["goodput/s"] / max(p["goodput/s"] for p in r.values()) for r in rounds]) for kind, rounds in loads.items()}
        out["p99, 5x / 0.5x"] = {kind: spread([r["5x"]["p99 (ms)"] / r["0.5x"]["p99 (ms)"] for r in rounds]) for kind, rounds in loads.items()}
        out["MiB after"] = {OURS: memory(s1.pid), PEER: memory(s2.pid)}
    return out


def middle(values): return {k: round(statistics.median(v), 1) for k, v in values.items()}


def ratio(values): return spread([a / b for a, b in zip(values[OURS], values[PEER])])


def under_load(port, capacity, seconds):
    "Goodput (answers within 1 s) and latencies at multiples of the capacity."
    out = {}
    for times in (0.5, 0.9, 1.5, 5):
        got = run(opened(port, questions(), times * capacity, seconds))
        good, refused = [s for c, s, _ in got if c == 200], [s for c, s, _ in got if c == 429]
        out[f"{times}x"] = {"offered/s": round(len(got) / seconds, 1), "goodput/s": round(sum(s <= 1 for s in good) / seconds, 1), "accepted": len(good), "refused": len(refused), "unanswered": sum(c == 0 for c, *_ in got),
                            "other": sum(c not in (0, 200, 429) for c, *_ in got), "p50 (ms)": quantile(good, 0.5), "p99 (ms)": quantile(good, 0.99), "p50 to refuse (ms)": quantile(refused, 0.5), "p99 to refuse (ms)": quantile(refused, 0.99),
                            "p99 the generator was late (ms)": quantile([late for *_, late in got], 0.99)}
        time.sleep(2)
    return out


def typical(rounds):
    "Medians of several `under_load`; None where no round has a figure."
    middle_of = lambda found: round(statistics.median(found), 2) if found else None
    return {times: {k: middle_of([r[times][k] for r in rounds if r[times][k] is not None]) for k in points} for times, points in rounds[0].items()}


def per_call(model):
    "One pair, model in memory against model loaded on every call."
    with server(OURS, model) as (port, *_): ours = run(closed(port, questions(), 1, 3))[1]
    with server("per call", model) as (port, *_): theirs = run(closed(port, questions(), 1, 6))[1]
    a, b = ([s for _, s in x[1:]] for x in (ours, theirs))
    return {"ours (ms)": round(1000 * statistics.median(a), 2), "loaded per call (ms)": round(1000 * statistics.median(b), 1), "times as fast": spread([s / statistics.median(a) for s in b])}


def stay_flat(requests=200_000, warm=50_000):
    "Resident memory from the warm-up to the end; cache on, four in five pairs seen before. The cache of 10,000 sentences is full after 25,000 requests; the warm-up is twice that."
    with server(OURS, model_path("mini"), cache=10_000) as (port, _, process):
        asked, marks = 0, []
        while asked < warm + requests:
            answers = run(closed(port, questions(among=2000), CLIENTS, 5))[1]
            asked += len(answers)
            if asked >= warm: marks.append((asked, memory(process.pid)))
            if bad := {c for c, _ in answers} - {200, 429}: raise RuntimeError(f"answers {bad}")
    return {"requests": asked, "of them after the warm-up": asked - warm, "MiB after the warm-up": marks[0][1], "MiB at the end": marks[-1][1], "most": max(m for _, m in marks), "growth (%)": round(100 * (marks[-1][1] / marks[0][1] - 1), 2),
            "MiB on the way": [[n, m] for n, m in marks[::max(1, len(marks) // 20)]]}


async def until_it_ends(port, process, clients, after):
    "Ask on keep-alive connections, send SIGTERM, and go on until nobody listens any more; answers by status, and what was lost."
    count, loop, it = {"answered 200": 0, "answered 429": 0, "answered otherwise": 0, "answered 200 after SIGTERM": 0, "lost": 0}, asyncio.get_running_loop(), questions()
    told = now() + after
    loop.call_later(after, process.send_signal, signal.SIGTERM)

    async def one():
        line = await connect(port)
        while True:
            answered = loop.create_future()
            line.ask(next(it), answered.set_result)
            status = await asyncio.wait_for(answered, 20)
            count["lost" if status == 0 else f"answered {status}" if status in (200, 429) else "answered otherwise"] += 1
            if status == 200 and now() > told: count["answered 200 after SIGTERM"] += 1
            if status == 429: await asyncio.sleep(0.005)
            if line.closing:
                try: line = await connect(port)
                except OSError: return  # nobody listens: a balancer asks another server

    await asyncio.gather(*(one() for _ in range(clients)))
    return count


def stop(model, times=5):
    "SIGTERM under full load, several times."
    total = {}
    for _ in range(times):
        with server(OURS, model) as (port, _, process):
            for k, v in run(until_it_ends(port, process, 2 * CLIENTS, 2)).items(): total[k] = total.get(k, 0) + v
    return {"servers stopped": times, **total}


def refuse_large():
    "CPU of the server process for a pair of 2 MB of Hangul."
    with server(OURS, model_path("mini")) as (port, _, process):
        pid = process.pid
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


def plot(ax, content):
    for n in SIZES:
        for kind, style in ((OURS, "o-"), (PEER, "x:")):
            points = content[n]["open loop"][kind]
            peak = max(p["goodput/s"] for p in points.values())
            ax.plot([float(k[:-1]) for k in points], [p["goodput/s"] / peak for p in points.values()], style, label=f"{n}, {'klue_sts int8' if kind == OURS else 'torch'}")
    ax.set(xlabel="offered load / capacity", ylabel="goodput / own peak", ylim=(0, 1.1)); ax.legend(frameon=False, fontsize=7)


def main():
    if hasattr(os, "sched_setaffinity"): os.sched_setaffinity(0, {1} if os.cpu_count() > 1 else {0})
    file = results / "serve.json"
    content = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    for part in sys.argv[1:] or [p for p in PARTS if p != "peers" or os.environ.get("KLUE_STS_PEERS")]:
        with tempfile.TemporaryDirectory() as folder:
            content["setup"] = "server on core 0 (bound there after its start), load generator on core 1, one thread each; cache off and every sentence new unless said; one pair per request unless said"
            busy = round(os.getloadavg()[0], 1)  # what else the machine was doing
            if part in SIZES: content[part] = {"load average before": busy, **compare(part, artefact(part, folder))}
            if part == "peers": content["other servers, vectors of a pair"] = {"load average before": busy, **peers(folder)}
            if part == "call": content["one pair, model loaded on every call"] = {n: per_call(artefact(n, folder)) for n in SIZES}
            if part == "big": content["2 MB of Hangul"] = refuse_large()
            if part == "memory": content["memory"] = stay_flat()
            if part == "stop": content["SIGTERM under load"] = stop(model_path("mini"))
        content.pop("machine", None)
        save("serve", content, lambda ax: plot(ax, content) if all(n in content for n in SIZES) else None)


if __name__ == "__main__":
    main()
