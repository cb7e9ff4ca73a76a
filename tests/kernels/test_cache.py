"""Compiled code is that of the sources: a change in an inlined part is computed, not the old numbers."""

import os
import re
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
    told = [sys.executable, "-c", "from rtml.kernels.probe import entry; print(entry(1.0))"]
    environment = {name: value for name, value in os.environ.items() if name != "RTML_QUIET"}
    how = {"env": environment | {"PYTHONPATH": str(tmp_path)}, "cwd": tmp_path, "text": True}
    for n in (1, 2):
        (tmp_path / "rtml" / "kernels" / "probed.py").write_text(INNER.format(n=n))
        both = [subprocess.Popen(told, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how) for _ in range(2)]
        said = [process.communicate(timeout=100) for process in both]
        assert [float(out) for out, _ in said] == [1.0 + n] * 2
        assert sorted(err for _, err in said) == ["", "rtml: compiling kernels.probe.entry, once\n"], "one waits"


def test_a_kernel_outside_of_the_package_is_compiled_again_with_what_it_takes_from_it(tmp_path):
    (tmp_path / "rtml").mkdir()
    (tmp_path / "own.py").write_text("from rtml.part import one\n")
    stamps = set()
    for text in ("one = 1\n", "one = 10\n"):
        (tmp_path / "rtml" / "part.py").write_text(text)
        stamps.add(cache.stamp(tmp_path / "own.py", tmp_path))
    assert len(stamps) == 2


def test_an_import_compiles_nothing_and_the_first_call_checks_its_arguments():
    program = (
        "from importlib import import_module; from rtml.kernels.cache import KERNELS\n"
        "from rtml.pipeline.compiling import modules; [import_module(name) for name in modules()]\n"
        "kernels = [getattr(import_module(m), name) for m, _, name in (one.rpartition('.') for one in KERNELS)]\n"
        "print(len(kernels) > 100, [kernel for kernel in kernels if kernel.overloads])\n"
        "from rtml.kernels.interning import row_of\n"
        "try: row_of('1', 2, 3, 4)\n"
        "except TypeError as ex: print(str(ex)[:22], len(row_of.overloads))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["True []", "No matching definition 1"]


def test_every_kernel_is_compiled_by_that_rule():
    package = Path(cache.__file__).parents[1]
    calls = re.compile(r"njit\(|@kernel\(")
    compiled = [path for path in package.rglob("*.py") if calls.search(path.read_text()) and path.name != "cache.py"]
    assert len(compiled) > 20
    for path in compiled:
        text = path.read_text()
        assert "from numba import njit" not in text, path.name
        assert "cache" not in text or "from rtml.kernels.cache import njit" in text, path.name
        assert not any("numba.njit" in line and "cache" in line for line in text.splitlines()), path.name
