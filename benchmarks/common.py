"""What every benchmark shares: alternate the contenders, report ratios with their spread, write JSON and a plot."""
import json
import os
import platform
import statistics
import time
from pathlib import Path

results = Path(__file__).resolve().parent / "results"


def alternate(contenders, rounds=9, warm=2):
    "Seconds per call of every contender, shape {name: [rounds]}; all take turns in every round, so drift of the machine hits all alike."
    for fn in contenders.values():
        for _ in range(warm): fn()
    times = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, fn in contenders.items():
            start = time.perf_counter(); fn(); times[name].append(time.perf_counter() - start)
    return times


def ratios(times, base):
    "Per round: seconds of `base` / seconds of each other contender; min, median, max."
    out = {}
    for name in times:
        if name == base: continue
        r = sorted(b / t for b, t in zip(times[base], times[name]))
        out[name] = {"min": round(r[0], 2), "median": round(statistics.median(r), 2), "max": round(r[-1], 2)}
    return out


def save(name, content, plot):
    "results/NAME.json and results/NAME.png; `plot(ax)` draws."
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    results.mkdir(exist_ok=True)
    machine = {"cpus": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version(), "threads": os.environ.get("OMP_NUM_THREADS")}
    (results / f"{name}.json").write_text(json.dumps({"machine": machine, **content}, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
    plot(ax)
    fig.savefig(results / f"{name}.png", dpi=120)
    print(json.dumps(content, ensure_ascii=False, indent=1))
