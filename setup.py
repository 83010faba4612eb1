"""Everything about the package stands in settings.ini; this file only reads it (configparser, no pkg_resources)."""
import shlex
from configparser import ConfigParser
from pathlib import Path

import setuptools
from setuptools.command.build_py import build_py

here = Path(__file__).parent
config = ConfigParser(delimiters=["="])
config.read(here / "settings.ini", encoding="utf-8")
cfg = config["DEFAULT"]

extras = {name: shlex.split(cfg[f"{name}_requirements"]) for name in shlex.split(cfg["extras"])}
extras["dev"] = sorted({req for reqs in extras.values() for req in reqs} | set(shlex.split(cfg["dev_requirements"])))



class BuildWithSample(build_py):
    "A built package carries data/sample, data/cache, data/synonyms and data/probes inside, so that it works without a checkout."

    def run(self):
        super().run()
        if not self.editable_mode:
            for folder, name, pattern in (("sample", "samples", "*.json"), ("synonyms", "synonyms", "*.tsv"), ("probes", "probes", "*.tsv"), ("cache", "samples", "*.jsonl")):
                target = Path(self.build_lib) / cfg["lib_path"] / name
                self.mkpath(str(target))
                for source in (here / "data" / folder).glob(pattern):
                    self.copy_file(str(source), str(target / source.name))


setuptools.setup(
    cmdclass={"build_py": BuildWithSample},
    name=cfg["lib_name"],
    version=cfg["version"],
    description=cfg["description"],
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    keywords=cfg["keywords"],
    author=cfg["author"],
    author_email=cfg["author_email"],
    url=cfg["git_url"],
    license={"apache2": "Apache-2.0"}[cfg["license"]],
    packages=setuptools.find_packages(include=[cfg["lib_path"] + "*"]),
    package_data={cfg["lib_path"]: ["models/**/*", "static/*"]},
    python_requires=">=" + cfg["min_python"],
    install_requires=shlex.split(cfg["requirements"]),
    extras_require=extras,
    entry_points={
        "console_scripts": shlex.split(cfg["console_scripts"]),
        "nbdev": [f"{cfg['lib_path']}={cfg['lib_path']}._modidx:d"],
    },
    zip_safe=False,
)
