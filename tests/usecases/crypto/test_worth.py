"""What a prediction is worth: the mean move in its direction, less the costs."""

import numpy as np

from rtml.usecases.crypto.worth import worth


def test_the_worth_is_the_mean_move_in_the_predicted_direction():
    r = np.random.default_rng(0)
    p = r.normal(size=500)
    y = p + r.normal(size=500)
    y[::50] = np.nan
    gross = np.nanmean(np.sign(p) * y)
    assert f"earns {gross:.2f} bp" in worth("rls", y, p, 10.0) and "not tradable" in worth("rls", y, p, 10.0)
    assert "look for a leak" in worth("rls", y, p, 0.01)
