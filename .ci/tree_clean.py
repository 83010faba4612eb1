"""Fail when export, clean or README generation would change a file: nbs/, klue_sts/ and README.md must agree."""
import hashlib
import subprocess
import sys
from pathlib import Path

root = Path(__file__).resolve().parent.parent
bin_dir = (root / sys.argv[1]) if len(sys.argv) > 1 else Path(sys.executable).parent


def snapshot():
    "Digest of every notebook, generated module and README.md."
    files = [*root.glob("nbs/*.ipynb"), *root.glob("klue_sts/*.py"), root / "README.md"]
    return {str(f.relative_to(root)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files if f.exists()}


before = snapshot()
for command in (["nbdev_export"], ["nbdev_clean"]):
    subprocess.run([str(bin_dir / command[0])], cwd=root, check=True)
subprocess.run([sys.executable, str(root / ".ci/readme.py")], check=True)
after = snapshot()
changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
if changed:
    sys.exit("export/clean changed: " + ", ".join(changed) + ". Run `make prep` and commit the result.")
print(f"export, clean and README leave all {len(after)} files unchanged")
