"""The Cramér–Rao bound of season dates, against a case that can be written down and against its own simulations."""

import numpy as np
import pytest
from scipy.optimize import curve_fit

from phenolib.errors import InputError
from phenolib.simulate import limits
from phenolib.simulate import series as simulated


def test_derivatives_by_differences():
    "The derivative of a·x² + b·x after a and b is x² and x."
    x = np.linspace(-1, 1, 5)
    made = limits.differences(lambda q: q[0] * x**2 + q[1] * x, np.array([2.0, 3.0]), np.array([0.1, 0.1]))
    np.testing.assert_allclose(made, [x**2, x], atol=1e-12)


def test_bound_is_what_a_fit_of_the_true_form_scatters_by():
    "Least squares with the true form reach the bound: the SD of 300 fits lies within a tenth of it."
    keys = simulated.TAKES["gompertz"]
    q = np.array([0.2, 0.2, 0.5, 110.0, 250.0, 0.05, 0.05])
    t, grid = np.arange(0, 365, 5.0), np.arange(0, 365, limits.STEP)
    step = np.array([1e-3, 1e-3, 1e-3, 0.5, 0.5, 1e-4, 1e-4])
    f = limits.differences(lambda q: limits.value("gompertz", keys, q, t), q, step)
    d = limits.differences(lambda q: limits.dates(limits.value("gompertz", keys, q, grid), grid, (20, 50)), q, step)
    sd = np.sqrt(np.einsum("psd,pq,qsd->sd", d, np.linalg.inv(f @ f.T / 0.02**2), d))
    rng = np.random.default_rng(1)
    clean, fits = limits.value("gompertz", keys, q, t), []
    for _ in range(300):
        fitted, _ = curve_fit(lambda t, *q: limits.value("gompertz", keys, np.array(q), t),
                              t, clean + 0.02 * rng.standard_normal(t.size), q)
        fits.append(limits.dates(limits.value("gompertz", keys, fitted, grid), grid, (20, 50)))
    np.testing.assert_allclose(np.std(fits, axis=0), sd, rtol=0.1)


def test_knowing_more_lowers_the_bound_and_noise_raises_it():
    "Who is told that both bases are alike has a lower bound; slow ends in cloudy winters have a higher one."
    free, tied = limits.bound("gompertz", 40, seed=3), limits.bound("gompertz", 40, seed=3, tied=0.01)
    assert (tied[["sos", "eos"]] < free[["sos", "eos"]]).all().all()
    assert free.loc[20, "eos"] > free.loc[20, "sos"]
    assert free.loc[50, "eos"] < free.loc[20, "eos"]


def test_no_bound_without_a_form():
    "Kinds whose seasons overlap or have dips have no form of few parameters: refused."
    with pytest.raises(InputError, match="no bound for series of the kind 'flat_top'; use one_season"):
        limits.bound("flat_top")
