"The repository's own promises: import direction, quick help, no stray imports."
import json
import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

root = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(root / ".ci"))
from import_direction import problems  # noqa: E402


def test_wrong_arrows_are_found():
    low, high = ("00_a.ipynb", "a", "import os"), ("01_b.ipynb", "b", "from klue_sts.a import f")
    assert problems([low, high]) == []
    for line in ("from klue_sts.b import g", "    from .b import g", "import klue_sts.b", "from klue_sts import b as other"):
        found = problems([("00_a.ipynb", "a", line), high])
        assert len(found) == 1 and "00_a.ipynb (a) imports b" in found[0]
    assert "also owned by" in problems([low, ("01_b.ipynb", "a", "")])[0]


def test_help_is_instant_and_imports_nothing_heavy():
    code = "import sys; from klue_sts.cli import build_parser; build_parser().format_help(); print([m for m in ('numpy', 'pandas', 'torch', 'onnxruntime', 'fastapi') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.parametrize("module", [p.stem for p in sorted((root / "klue_sts").glob("*.py")) if not p.stem.startswith("_")])
def test_importing_a_module_loads_no_torch_and_prints_nothing(module):
    code = f"import sys, klue_sts.{module}; print([m for m in ('torch', 'transformers', 'kiwipiepy', 'wandb', 'matplotlib', 'nbdev', 'fastcore') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]" and run.stderr == ""


def test_modules_stay_small():
    sizes = {p.name: len(p.read_text(encoding="utf-8").splitlines()) for p in (root / "klue_sts").glob("*.py") if not p.stem.startswith("_")}
    assert sizes and max(sizes.values()) <= 500, sizes


def test_the_command_knows_what_every_extra_brings():
    from klue_sts.cli import _EXTRAS
    cfg = ConfigParser(delimiters=["="])
    cfg.read(root / "settings.ini", encoding="utf-8")
    module = lambda r: {"scikit_learn": "sklearn"}.get(name := re.match(r"[\w-]+", r)[0].replace("-", "_"), name)
    assert {k: set(v.split()) for k, v in _EXTRAS.items()} == {k: {module(r) for r in cfg["DEFAULT"][f"{k}_requirements"].split()} for k in cfg["DEFAULT"]["extras"].split()}


def test_every_pin_serves_a_requirement():
    "constraints.txt pins every requirement of settings.ini."
    cfg = ConfigParser(delimiters=["="])
    cfg.read(root / "settings.ini", encoding="utf-8")
    wanted = {re.split(r"[\[<>=;]", r)[0].lower().replace("_", "-") for k, v in cfg["DEFAULT"].items() if k == "requirements" or k.endswith("_requirements") for r in v.split()}
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in (root / "constraints.txt").read_text().splitlines() if "==" in line}
    assert wanted and wanted - pinned == set()


@pytest.mark.parametrize("python", ["3.11.0", "3.12.0", "3.13.0"])
def test_a_pin_applies_only_where_its_package_runs(python):
    from importlib.metadata import PackageNotFoundError, metadata
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet
    pins, refused, seen = [Requirement(line) for line in (root / "constraints.txt").read_text().splitlines() if "==" in line], [], 0
    for pin in pins:
        if not pin.marker.evaluate({"python_version": python.rpartition(".")[0], "python_full_version": python}): continue
        try: needs = metadata(pin.name).get("Requires-Python") or ""
        except PackageNotFoundError: continue  # of another platform
        seen += 1
        if python not in SpecifierSet(needs): refused.append(f"{pin} needs Python {needs}")
    assert seen > 100 and not refused


def test_notebooks_hold_no_machine_paths_errors_or_broken_formulas():
    for path in sorted((root / "nbs").glob("*.ipynb")):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"/(?:root|home)/", text), path.name
        for cell in json.loads(text)["cells"]:
            assert not any(o["output_type"] == "error" for o in cell.get("outputs", [])), path.name
            assert "offline mode" not in "".join("".join(o.get("text", "")) for o in cell.get("outputs", [])), f"{path.name}: a library's notice among the outputs"
            formulas = re.findall(r"\$[^$`\n]+\$", "".join(cell["source"])) if cell["cell_type"] == "markdown" else []
            assert not any(re.search(r"\\\\[a-z]", f) for f in formulas), f"{path.name}: a doubled backslash in {formulas}"


def _outputs(cell): return [o for o in cell.get("outputs", []) if o["output_type"] in ("display_data", "execute_result")]


@pytest.mark.parametrize("path", sorted((root / "nbs").glob("[0-9]*.ipynb")), ids=lambda p: p.stem)
def test_notebooks_keep_their_plots(path):
    "A cell that draws shows it: executed under a file backend, the picture would be lost without an error."
    cells = [c for c in json.loads(path.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
    assert any(_outputs(c) for c in cells), "not executed"
    for cell in cells:
        source = "".join(cell["source"])
        if "#| export" not in source and ".close(" not in source and re.search(r"^(?:fig, )?ax(?:es)? = ", source, re.M):
            assert any("image/png" in o["data"] for o in _outputs(cell)), f"{path.name}: no picture under {source!r}"
