"""The README's script runs, and stands in the README as it stands in its file."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_readme_shows_the_script():
    script = (ROOT / "docs" / "readme_script.py").read_text()
    block = script.split("# [readme]\n")[1].split("# [/readme]")[0].strip()
    assert block in (ROOT / "README.md").read_text()


def test_readme_script_runs(tmp_path):
    run = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "readme_script.py")],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    cosine, error = map(float, re.search(r"cosine ([\d.]+), relative error ([\d.]+)", run.stdout).groups())
    assert cosine > 0.999
    assert error < 0.05
    assert (tmp_path / "gradient.png").read_bytes()[:4] == b"\x89PNG"
