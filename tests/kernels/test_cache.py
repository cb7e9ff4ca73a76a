"""Compiled code is that of the sources: a change in an inlined part is computed, not the old numbers."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from rtml.kernels import cache

INNER = "import numba\n\n@numba.njit(inline='always')\ndef part(x):\n    return x + {n}\n"


def test_a_changed_inlined_part_is_compiled_again(tmp_path):
    package = Path(cache.__file__).parents[1]
    (tmp_path / "rtml").mkdir()
    for name in ("__init__.py", "kernels", "core"):
        copy = shutil.copytree if (package / name).is_dir() else shutil.copy
        copy(package / name, tmp_path / "rtml" / name)
    (tmp_path / "rtml" / "kernels" / "probe.py").write_text(
        "from rtml.kernels import probed\nfrom rtml.kernels.cache import njit\n\n"
        "@njit('float64(float64)', cache=True)\ndef entry(x):\n    return probed.part(x)\n"
    )
    said = []
    for n in (1, 2):
        (tmp_path / "rtml" / "kernels" / "probed.py").write_text(INNER.format(n=n))
        told = [sys.executable, "-c", "from rtml.kernels.probe import entry; print(entry(1.0))"]
        environment = os.environ | {"PYTHONPATH": str(tmp_path)}
        said.append(
            subprocess.run(told, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        )
    assert [float(text) for text in said] == [2.0, 3.0]


def test_every_kernel_is_compiled_by_that_rule():
    package = Path(cache.__file__).parents[1]
    compiled = [path for path in package.rglob("*.py") if "njit(" in path.read_text() and path.name != "cache.py"]
    assert len(compiled) > 20
    for path in compiled:
        text = path.read_text()
        assert "from numba import njit" not in text, path.name
        assert "cache" not in text or "from rtml.kernels.cache import njit" in text, path.name
        assert not any("numba.njit" in line and "cache" in line for line in text.splitlines()), path.name
