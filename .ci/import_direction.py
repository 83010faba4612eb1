"""Fail when a notebook's exported code imports a module of a higher-numbered notebook (or its own), or when two notebooks own one module."""
import json
import re
import sys
from pathlib import Path

nbs = Path(__file__).resolve().parent.parent / "nbs"
IMPORT = re.compile(r"^\s*(?:from\s+(?:klue_sts)?\.(\w+)\s+import|from\s+klue_sts\.(\w+)\s+import|import\s+klue_sts\.(\w+)|from\s+(?:klue_sts|\.)\s+import\s+(.+))", re.M)


def read(path):
    "Module name (None for pages without one) and exported source of a notebook."
    cells = ["".join(c["source"]) for c in json.loads(path.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
    name = next((m[1] for s in cells if (m := re.search(r"^#\|\s*default_exp\s+(\w+)", s, re.M))), None)
    return name, "\n".join(s for s in cells if re.search(r"^#\|\s*exporti?\b", s, re.M))


def problems(sources):
    "Arrows that point the wrong way, given [(notebook, module, exported source)] in order."
    rank, found = {}, []
    for i, (nb, module, _) in enumerate(sources):
        if module in rank: found.append(f"{nb}: module {module} is also owned by {sources[rank[module]][0]}")
        if module: rank.setdefault(module, i)
    for i, (nb, module, source) in enumerate(sources):
        for match in IMPORT.finditer(source):
            names = [match[1] or match[2] or match[3]] if not match[4] else [n.split(" as ")[0].strip() for n in match[4].strip("()").split(",")]
            found += [f"{nb} ({module}) imports {n}, which {sources[rank[n]][0]} owns; imports go from a higher number to a lower one"
                      for n in names if n in rank and rank[n] >= i]
    return found


if __name__ == "__main__":
    pages = [p for p in sorted(nbs.glob("[0-9]*.ipynb"))]
    sources = [(p.name, *read(p)) for p in pages]
    if not sources: sys.exit("no notebooks found")
    if bad := problems(sources): sys.exit("\n".join(bad))
    print(f"{len(sources)} notebooks import only from lower numbers")
