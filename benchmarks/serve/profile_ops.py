"""Where one forward pass of the int8 graph spends its time, by operator (ONNX Runtime's own profile; the 5 % quantile of 150 passes per node).

    OMP_NUM_THREADS=1 python benchmarks/serve/profile_ops.py 8 20      # sentences, tokens
"""
import collections
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime as ort

from klue_sts.infer import model_path

rows, width = (int(a) for a in sys.argv[1:3] or (8, 20))
with tempfile.TemporaryDirectory() as folder:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.enable_profiling, options.profile_file_prefix, options.log_severity_level = 1, True, f"{folder}/p", 3
    session = ort.InferenceSession(str(model_path() / "onnx/model_int8.onnx"), options, providers=["CPUExecutionProvider"])
    ids = np.random.default_rng(0).integers(5, 15_000, (rows, width))
    for _ in range(150): session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
    events = json.loads(Path(session.end_profiling()).read_text())
took, kind = collections.defaultdict(list), {}
for e in events:
    if e["name"].endswith("kernel_time"): took[e["name"]].append(e["dur"]); kind[e["name"]] = e["args"]["op_name"]
share = collections.Counter()
for name, values in took.items(): share[kind[name]] += float(np.quantile(values, 0.05))
print(f"{rows} sentences of {width} tokens: {sum(share.values()) / rows:.0f} µs per sentence, {len(took)} nodes")
for name, us in share.most_common(): print(f"{name:22s} {us:7.0f} µs {100 * us / sum(share.values()):5.1f} %")
