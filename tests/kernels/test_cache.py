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
        "from numba import njit\nfrom rtml.kernels import probed\n\n"
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
