"""README.md = nbs/index.ipynb: markdown cells as they are, code cells fenced with their text outputs below (`#| echo: false`: the output alone); links made to start at the top level."""
import json
import re
from pathlib import Path

root = Path(__file__).resolve().parent.parent


def block(cell):
    "One cell as Markdown, or an empty string for hidden cells."
    text = "".join(cell["source"]).strip()
    if not text or text.startswith("#| hide"): return ""
    if cell["cell_type"] == "markdown": return re.sub(r"\]\((?!https?:|#|\.\./)", "](nbs/", text).replace("](../", "](")
    if text.startswith("#| echo: false"): return "\n\n".join(filter(None, map(_shown, cell.get("outputs", []))))
    code = "\n".join(line for line in text.splitlines() if not line.startswith("#|")).strip()
    shown = "\n".join(filter(None, map(_shown, cell.get("outputs", []))))
    return f"```python\n{code}\n```" + (f"\n\n```\n{shown}\n```" if shown else "")


def _shown(out):
    "An output as text: Markdown where there is some, else plain."
    data = out.get("data", {})
    return "".join(data.get("text/markdown") or data.get("text/plain") or out.get("text", "")).strip()


def readme():
    "The text of README.md."
    cells = json.loads((root / "nbs/index.ipynb").read_text(encoding="utf-8"))["cells"]
    head = "<!-- Written from nbs/index.ipynb by `make readme`; edit the notebook. -->"
    return "\n\n".join([head, *filter(None, map(block, cells))]) + "\n"


if __name__ == "__main__":
    (root / "README.md").write_text(readme(), encoding="utf-8")
