"""The advisor on other processes than its own: loky's, and those of a real Ray that listens on this machine alone.

Run by ``make test-extras``, in an environment of its own that holds Ray beside everything else.
"""

import os
from importlib.util import find_spec

import pytest

if find_spec("ray") is None:
    pytest.skip("Ray is in build/extras-ray: make test-extras", allow_module_level=True)
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
os.environ |= LOOPBACK  # "0": nobody else can join, so that it listens on 127.0.0.1
import ray  # noqa: E402
from drifting import drifting  # noqa: E402
from joblib import parallel_config  # noqa: E402
from ray.util.joblib import register_ray  # noqa: E402

from rtml.evaluation.advisor import advise  # noqa: E402
from rtml.evaluation.retraining_sweep import settings, trials  # noqa: E402

STREAM = drifting("recurring", n=3000, delay="30m").questions
CHOSEN = settings(STREAM, few=True)


def same(alone, others):
    for one, other in zip(alone, others, strict=True):
        assert one.setting == other.setting and one.predictions.tobytes() == other.predictions.tobytes()
        assert (one.samples, one.publications) == (other.samples, other.publications)


@pytest.fixture(scope="module")
def cluster():
    for timeouts in (2, 1, 0):  # Ray gives its own agents 15 s to start, which a busy machine may exceed
        try:
            ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
            break
        except Exception:
            if not timeouts:
                raise
    register_ray()
    yield ray.cluster_resources()
    ray.shutdown()


def test_processes_of_loky_find_the_same():
    same(trials(CHOSEN[:3], "logistic", STREAM, 1), trials(CHOSEN[:3], "logistic", STREAM, 2))


def test_a_real_ray_finds_the_same(cluster):
    assert cluster["CPU"] == 2 and all(node["NodeManagerAddress"] == "127.0.0.1" for node in ray.nodes())
    same(trials(CHOSEN, "logistic", STREAM, 1), trials(CHOSEN, "logistic", STREAM, 2, "ray"))


def test_the_advice_of_a_ray_is_that_of_one_process(cluster):
    with parallel_config(backend="ray"):
        assert (
            advise(STREAM, chosen=CHOSEN, jobs=2, backend="ray").recommended
            == advise(STREAM, chosen=CHOSEN).recommended
        )
