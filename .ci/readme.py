"""README.md = nbs/index.ipynb: markdown cells as they are, code cells fenced (their text outputs below)."""
import json
from pathlib import Path

root = Path(__file__).resolve().parent.parent


def block(cell):
    "One cell as Markdown, or an empty string for hidden cells."
    text = "".join(cell["source"]).strip()
    if cell["cell_type"] == "markdown" or not text or text.startswith("#| hide"):
        return "" if text.startswith("#| hide") else text
    code = "\n".join(line for line in text.splitlines() if not line.startswith("#|")).strip()
    outs = []
    for out in cell.get("outputs", []):
        data = out.get("data", {})
        outs += ["".join(data.get("text/markdown") or data.get("text/plain") or out.get("text", ""))]
    shown = "\n".join(o.strip() for o in outs if o.strip())
    return f"```python\n{code}\n```" + (f"\n\n```\n{shown}\n```" if shown else "")


def readme():
    "The text of README.md."
    cells = json.loads((root / "nbs/index.ipynb").read_text(encoding="utf-8"))["cells"]
    head = "<!-- Written from nbs/index.ipynb by `make readme`; edit the notebook. -->"
    return "\n\n".join([head, *filter(None, map(block, cells))]) + "\n"


if __name__ == "__main__":
    (root / "README.md").write_text(readme(), encoding="utf-8")
