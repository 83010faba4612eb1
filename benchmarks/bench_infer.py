"""The packaged model through klue_sts.infer (ONNX int8, no torch) against sentence-transformers (torch fp32), same pairs, same run.

    make bench        or        OMP_NUM_THREADS=1 python benchmarks/bench_infer.py
"""
import statistics

from common import alternate, ratios, save

from klue_sts.data import load_sample
from klue_sts.infer import Scorer, model_path
from klue_sts.preprocess import clean_text
from klue_sts.train import build_model


def main():
    dev = load_sample("dev")
    left, right = (dev[c].map(clean_text).tolist() for c in ("sentence1", "sentence2"))  # cleaned for both sides, so that scores differ by precision only
    scorer, torch_model = Scorer(), build_model(str(model_path()), device="cpu")

    def torch_scores(a, b):
        v = torch_model.encode([*a, *b], batch_size=64, normalize_embeddings=True, show_progress_bar=False)
        return (v[:len(a)] * v[len(a):]).sum(1)

    worst = float(abs(torch_scores(left, right) - scorer.score(left, right)).max())
    jobs = {"one pair": (left[:1], right[:1], 50), f"{len(left)} pairs": (left, right, 1)}
    content, bars = {"largest score difference": round(worst, 4)}, {}
    for job, (a, b, repeat) in jobs.items():
        times = alternate({"sentence-transformers, torch fp32": lambda: [torch_scores(a, b) for _ in range(repeat)],
                           "klue_sts, ONNX int8": lambda: [scorer.score(a, b) for _ in range(repeat)]})
        content[job] = {"median ms per call": {k: round(1000 * statistics.median(v) / repeat, 3) for k, v in times.items()},
                        "times as fast as sentence-transformers": ratios(times, "sentence-transformers, torch fp32")["klue_sts, ONNX int8"]}
        bars[job] = content[job]["times as fast as sentence-transformers"]

    def plot(ax):
        names = list(bars)
        mid = [bars[n]["median"] for n in names]
        ax.barh(names, mid, xerr=[[m - bars[n]["min"] for n, m in zip(names, mid)], [bars[n]["max"] - m for n, m in zip(names, mid)]], capsize=4)
        ax.axvline(1, color="gray", ls=":")
        ax.set_xlabel("times as fast as sentence-transformers (torch fp32), median and range")

    save("infer", content, plot)


if __name__ == "__main__":
    main()
