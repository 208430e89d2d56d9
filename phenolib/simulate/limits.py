"""The smallest error that any method could reach on simulated series: the Cramér–Rao bound of one told the form."""

import numpy as np
import pandas as pd

from phenolib.errors import InputError
from phenolib.simulate import series as simulated

KINDS = ("one_season", "gompertz", "asymmetric")  # one season a year, whose form is a function of few parameters
STEP = 0.25  # of the grid on which dates are read [days]
FAR = 20.0  # an error that is expected to be larger counts as this [days]


def bound(kind, pixels=100, *, seed=0, shares=(20, 50), tied=None):
    """Mean absolute error of start and end that no unbiased method can go below, for seasons of a kind.

    For parameters q (levels of both bases, height, half dates and shape), observations with noise σ at days t_k and a
    date d(q),

        var(d) ≥ ∇dᵀ (Σ_k ∇f(t_k) ∇f(t_k)ᵀ / σ²)⁻¹ ∇d        and for normal errors E|error| = √(2/π) · SD.

    It is the bound of one who is told the form of every season and which values are clouds, which no method is; but who
    knows nothing of the parameters beforehand, while a method may expect a field's two bases to be alike.

    kind      one of ``KINDS``
    pixels    how many
    seed      of the series
    shares    of the amplitude, whole per cent
    tied      SD of the difference of both bases, as a share of the height, that one is told too [-]; None: nothing
    returns   DataFrame by share with ``sos`` and ``eos`` (mean of the bound over seasons [days], each at most 20),
              ``beyond`` (share of seasons for which either is more than that) and ``n``
    raises    InputError for a kind whose form is not known

    Kay (1993), Fundamentals of statistical signal processing, section 3.8.

    >>> some = bound("one_season", 20)
    >>> float(some.loc[50, "sos"]) < float(some.loc[20, "sos"])
    True
    """
    if kind not in KINDS:
        raise InputError(f"there is no bound for series of the kind '{kind}'; use {' or '.join(KINDS)}")
    found = []
    for chunk in range(-(-pixels // simulated.CHUNK)):
        rng = simulated.stream(seed, kind, chunk)
        days, more = simulated.acquisitions(kind, seed)
        plan = simulated.DRAWS[kind](rng, days, **more)
        _, drop, gap = simulated.observe(rng, plan)
        for pixel in range(min(simulated.CHUNK, pixels - chunk * simulated.CHUNK)):
            seen = days[~gap[pixel] & (drop[pixel] == 0)]
            for season in range(1, len(plan.start) - 1):
                found.append(of_season(plan, pixel, season, seen, shares, tied))
    sd = np.array([f for f in found if f is not None])  # (season, share, side)
    size = np.sqrt(2 / np.pi) * sd
    table = pd.DataFrame(np.minimum(size, FAR).mean(0), index=pd.Index(shares, name="share"), columns=["sos", "eos"])
    return table.assign(beyond=(size > FAR).any(2).mean(0), n=len(sd))


def of_season(plan, pixel, season, seen, shares, tied):
    """SD of the dates of one season, (share, side) [days]; None where it has no dates on its own form."""
    form = plan.form[pixel]
    keys = simulated.TAKES[form]
    middle = [(plan.end[k, pixel] + plan.start[k + 1, pixel]) / 2 for k in (season - 1, season)]
    t = seen[(seen > middle[0]) & (seen < middle[1])]
    grid = np.arange(*middle, STEP)
    base = plan.base[pixel]
    q = np.array([base, base, plan.height[season, pixel], plan.start[season, pixel], plan.end[season, pixel],
                  *(plan.shape[k][season, pixel] for k in keys)], float)
    step = np.maximum(1e-3 * np.abs(q), 1e-4)
    step[3:5] = 0.5
    try:
        f = differences(lambda q: value(form, keys, q, t), q, step)
        d = differences(lambda q: dates(value(form, keys, q, grid), grid, shares), q, step)
    except IndexError:
        return None
    information = np.einsum("pk,qk->pq", f, f) / plan.noise[pixel] ** 2
    if tied:
        apart = np.zeros(len(q))
        apart[:2] = 1, -1
        information += np.outer(apart, apart) / (tied * q[2]) ** 2
    covariance = np.linalg.pinv(information, hermitian=True)
    return np.sqrt(np.maximum(np.einsum("psd,pq,qsd->sd", d, covariance, d), 0))


def value(form, keys, q, t):
    """The season at days t; the base changes from one to the other in the middle between both half dates."""
    start, end = q[3], q[4]
    shape = {k: np.array([[v]]) for k, v in zip(keys, q[5:])}
    growth = simulated.FORMS[form](t[None], np.array([[start]]), np.array([[end]]), **shape)[0]
    early = t < (start + end) / 2
    return np.where(early, q[0], q[1]) + (q[2] + np.where(early, 0, q[0] - q[1])) * growth


def dates(f, t, shares):
    """First and last day above each share of each side's amplitude: (share, side); IndexError where there is none."""
    peak = f.argmax()
    found = []
    for share in shares:
        up, down = (f[k] + share / 100 * (f[peak] - f[k]) for k in (0, -1))
        i = np.nonzero(f[:peak] >= up)[0][0]
        j = np.nonzero(f[peak:] >= down)[0][-1] + peak
        if i == 0:
            raise IndexError
        found.append((t[i] - STEP * (f[i] - up) / (f[i] - f[i - 1]), t[j] + STEP * (f[j] - down) / (f[j] - f[j + 1])))
    return np.array(found)


def differences(function, q, step):
    """Derivatives of a function after each parameter by central differences: (parameter, …)."""
    result = []
    for k, h in enumerate(step):
        move = np.zeros(len(q))
        move[k] = h
        result.append((function(q + move) - function(q - move)) / (2 * h))
    return np.array(result)
