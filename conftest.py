"""Collect every tested notebook cell as a pytest item, under nbdev_test's rules, and end with plain counts."""
import os
import sys

import pytest
from fastcore.xtras import working_directory


class NotebookCell(pytest.Item):
    "One code cell; cells of a notebook share one shell and run in order."

    def __init__(self, *, cell, **kwargs):
        super().__init__(**kwargs)
        self.cell = cell

    def runtest(self):
        notebook = self.parent
        if notebook.broken:
            pytest.skip(f"an earlier cell failed: {notebook.broken}")
        with working_directory(notebook.path.parent):
            notebook.shell.exc = None
            notebook.shell.run(self.cell.source)
        if notebook.shell.exc:
            notebook.broken = self.name
            raise notebook.shell.exc

    def repr_failure(self, excinfo):
        return f"{self.cell.source}\n---\n{excinfo.typename}: {excinfo.value}"

    def reportinfo(self):
        return self.path, 0, f"{self.path.name}::{self.name}"


class Notebook(pytest.File):
    "A notebook; its cells are skipped by name where a flag of settings.ini (tst_flags) is not asked for."

    broken = None

    def collect(self):
        from nbdev.config import get_config
        from nbdev.frontmatter import FrontmatterProc
        from nbdev.process import NBProcessor

        cfg = get_config()
        closed = set(cfg.tst_flags.split()) - set(self.config.getoption("--nbflags").split())
        if str(cfg.config_path) not in sys.path:
            sys.path.insert(0, str(cfg.config_path))
        os.environ["IN_TEST"] = "1"
        nb = NBProcessor(self.path, procs=FrontmatterProc, process=True).nb
        whole = str((getattr(nb, "frontmatter_", {}) or {}).get("skip_exec", False)).lower() in ("true", "1", "yes")
        for i, cell in enumerate(nb.cells):
            directives = getattr(cell, "directives_", {}) or {}
            if cell.cell_type != "code" or not cell.source.strip():
                continue
            item = NotebookCell.from_parent(self, name=f"cell{i}", cell=cell)
            flagged = sorted(closed & directives.keys())
            if whole:
                item.add_marker(pytest.mark.skip(reason="skip_exec"))
            elif directives.get("eval:", [""])[0].lower() == "false":
                item.add_marker(pytest.mark.skip(reason="eval: false"))
            elif flagged:
                item.add_marker(pytest.mark.skip(reason=f"flag not asked for: {' '.join(flagged)}"))
            yield item

    def setup(self):
        from execnb.shell import CaptureShell

        self.shell = CaptureShell(self.path)

    def teardown(self):
        self.shell = None


def pytest_addoption(parser):
    parser.addoption("--nbflags", default="", help="notebook flags to run: slow cuda net klue")


def pytest_collect_file(file_path, parent):
    if file_path.suffix == ".ipynb" and file_path.parent.name == "nbs" and not file_path.name.startswith("_"):
        return Notebook.from_parent(parent, path=file_path)


_counts = {"passed": 0, "failed": 0, "skipped": 0}


def pytest_runtest_logreport(report):
    if report.failed:
        _counts["failed"] += 1
    elif report.skipped:
        _counts["skipped"] += 1
    elif report.when == "call":
        _counts["passed"] += 1


def pytest_sessionfinish(session, exitstatus):
    "A run in which nothing passed is a failure, whatever was skipped."
    if exitstatus == 0 and not _counts["passed"] and not session.config.option.collectonly and not hasattr(session.config, "workerinput"):
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED


def pytest_unconfigure(config):
    if any(_counts.values()) and not hasattr(config, "workerinput"):  # the controller of pytest-xdist counts, its workers do not
        print("{passed} passed, {failed} failed, {skipped} skipped".format(**_counts))
