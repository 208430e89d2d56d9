"""Does the model describe its data: residuals, random effects, spread, order in time."""

import numpy as np
import pandas as pd
from scipy import stats

from phenolib.errors import InputError, near
from phenolib.mixed_models import design as designs

LEAST = 8  # levels below which nothing is said about the shape of their distribution


def quantile_residuals(result, *, draws=250, new_groups=False, seed=0):
    """Residuals that are uniform between 0 and 1 if the model is right, whatever the family.

        q = share of simulated responses below the observed one, ties broken at random

    result      of ``fit``
    draws       simulated responses
    new_groups  False: random effects stay at their modes, so that rows are nearly independent; True: drawn anew, so
                that the distribution of the groups is judged too, but rows of a group go together
    seed        of the draws
    returns     (n,) [-]

    Dunn & Smyth (1996); simulated as in the R package DHARMa (Hartig).
    """
    if int(draws) < 20:
        raise InputError(f"draws = {draws}; give 20 or more")
    rng = np.random.default_rng(seed)
    made = result.simulate(int(draws), seed=seed) if new_groups else drawn(result, int(draws), rng)
    below, same = (made < result.y).sum(0), (made == result.y).sum(0)
    return (below + rng.uniform(size=result.n) * (same + 1)) / (int(draws) + 1)


def drawn(result, draws, rng):
    """Responses with the random effects at their modes: (draws, n)."""
    mu = result.family.mean(result.estimate.linear + result.design.offset)
    return np.stack([result.family.draw(rng, mu, result.estimate.scale, result.design.trials) for _ in range(draws)])


def residual_checks(result, data=None, *, time=None, within=None, draws=250, level=0.05, seed=0):
    """What is striking about the residuals of a model, in a table with words.

    result   of ``fit``
    data     the table of the fit, where ``time`` is asked for
    time     column by which rows are put in order, for the autocorrelation of neighbours
    within   grouping whose levels are series of their own, e.g. "plot:tube"; default the one with the most levels
    draws    simulated responses, and orders in the test of autocorrelation
    level    p below which a check is called doubtful
    seed     of the draws
    returns  DataFrame: check, statistic, p (NaN where there is no test), verdict ("fine", "doubtful: …", "cannot
             tell: …")
    raises   InputError for a column or grouping that is not there, or another number of rows

    Of 20 checks of a right model one falls below 0.05. With many rows small departures are found that change nothing:
    look at the statistic too.
    """
    rows = []

    def say(check, statistic, p, words, unknown=""):
        verdict = f"cannot tell: {unknown}" if unknown else f"doubtful: {words}" if p < level else "fine"
        rows.append((check, float(statistic), float(p), verdict))

    gaussian = result.family.name == "gaussian"
    if gaussian:
        score = result.residuals / result.estimate.scale / result.design.response_scale[1]
        skew, tails = stats.skew(score), stats.kurtosis(score)
        some = np.random.default_rng(seed).choice(score, 5000, replace=False) if len(score) > 5000 else score
        say("normal residuals", *stats.shapiro(some),
            f"skewness {skew:.1f}, excess kurtosis {tails:.1f}; " + ("transform the response, or choose another family"
                                                                   if abs(skew) > 0.5 else
                                                                   "look at the rows with the largest residuals"))
    else:
        q = quantile_residuals(result, draws=draws, seed=seed)
        score = stats.norm.ppf(q)
        say("uniform quantile residuals", *stats.kstest(q, "uniform"),
            "the response is not distributed as the family says; look at a histogram of quantile_residuals")
        dispersion(result, draws, seed, say)
    along = stats.spearmanr(np.abs(score), result.fitted)
    say("even spread along the fitted values", *along, f"residuals are {'wider' if along[0] > 0 else 'narrower'} where "
        f"the fitted values are large; {'a log of the response or the gamma family' if gaussian else 'another family'} "
        "may fit")
    for name in [v for v in result.design.variables
                 if isinstance(result.design.frame[v].dtype, pd.CategoricalDtype)]:
        codes = result.design.frame[name].cat.codes.to_numpy()
        parts = [score[codes == c] for c in np.unique(codes) if np.sum(codes == c) > 2]
        if len(parts) > 1:
            say(f"even spread between '{name}'", *stats.levene(*parts, center="median"),
                f"SD from {min(p.std() for p in parts):.2f} to {max(p.std() for p in parts):.2f} of the residual SD")
    for (group, effect), some in result.modes.groupby(["group", "effect"], sort=False):
        few, still = len(some) < LEAST, np.ptp(some["estimate"]) < 1e-9
        value = (np.nan, np.nan) if few or still else stats.shapiro(some["estimate"])
        say(f"normal random effects of '{group}', {effect}", *value, "some groups stand far from the others; look at "
            "modes", f"{len(some)} levels are too few" if few else "all are 0" if still else "")
    inflation(result, say)
    if time is not None:
        order(result, data, time, within, score, draws, seed, say)
    return pd.DataFrame(rows, columns=["check", "statistic", "p", "verdict"])


def dispersion(result, draws, seed, say):
    """Variance beside that of the family, and zeros beside those expected."""
    name, rng = result.family.name, np.random.default_rng(seed + 1)
    if name == "binomial" and result.design.trials.max() == 1:
        say("dispersion", np.nan, np.nan, "", "0/1 data have the variance that their mean gives them")
    elif not result.family.shaped:
        mu, trials = result.fitted, result.design.trials
        expected, variance = (mu * trials if name == "binomial" else mu), result.family.variance(mu, 1.0, trials)
        rows = np.einsum("ikl,il->ik", result.estimate.factor.inverse(), result.estimate.values)
        weight = result.family.derivatives(result.y, result.estimate.linear + result.design.offset, 1.0, trials)[1]
        spent = float(weight @ np.einsum("ik,ik->i", rows, result.estimate.values)) + result.design.x.shape[1]
        ratio = np.sum(result.residuals**2) / max(result.n - spent, 1)
        made = np.mean((drawn(result, draws, rng) - expected) ** 2 / variance, 1)
        p = two_sided(np.sum(made >= ratio), np.sum(made <= ratio), draws)
        way = " or take the negative_binomial family" if name == "poisson" else ""
        say("dispersion", ratio, p, f"the variance is {ratio:.1f} times that of the family, so that errors are too "
            + (f"small; add a random effect for each row{way}" if ratio > 1 else "large"))
    if name in ("poisson", "negative_binomial"):
        made, zeros = (drawn(result, draws, rng) == 0).sum(1), np.sum(result.y == 0)
        p = two_sided(np.sum(made >= zeros), np.sum(made <= zeros), draws)
        say("zeros", zeros / max(made.mean(), 1 / draws), p, f"{zeros} zeros, {made.mean():.0f} expected")


def two_sided(above, below, draws):
    return min(1.0, 2 * (1 + min(above, below)) / (1 + draws))


def inflation(result, say):
    """How much the variance of a coefficient grows because its predictor resembles the others."""
    keep = [j for j, name in enumerate(result.design.names) if np.ptp(result.design.x[:, j]) > 0]
    if len(keep) < 2:
        return
    factors = np.diag(np.linalg.inv(np.corrcoef(result.design.x[:, keep], rowvar=False)))
    worst = int(factors.argmax())
    say("collinearity (variance inflation)", factors[worst], 0.0 if factors[worst] > 10 else 1.0,
        f"'{result.design.names[keep[worst]]}' is nearly a sum of the others; its estimate stands on little")


def order(result, data, time, within, score, draws, seed, say):
    """Correlation of neighbours in time within series, against orders drawn at random."""
    if data is None or time not in data:
        raise InputError("give the table of the fit as data, to put its rows in order" if data is None else
                         f"the table has no column '{time}'{near(time, data.columns)}")
    if len(data) != result.n:
        raise InputError(f"data has {len(data)} rows and the fit {result.n}; give the rows of the fit")
    if within is None:
        name = max(result.design.terms, key=lambda t: len(t.levels)).group if result.design.terms else ""
    else:
        name = within
    for column in name.split(":") if name else []:
        if column not in data:
            raise InputError(f"the table has no column '{column}'{near(column, data.columns)}")
    series = pd.factorize(designs.labels(data, name.split(":")))[0] if name else np.zeros(len(data), int)
    when = pd.factorize(data[time], sort=True)[0]
    # rows of one series and time, e.g. images of one tube and day, count as one value: their mean
    mean = pd.DataFrame({"series": series, "when": when, "score": score}).groupby(["series", "when"])["score"].mean()
    series, value = mean.index.get_level_values(0).to_numpy(), mean.to_numpy()
    next_to = np.flatnonzero(series[1:] == series[:-1])
    label = f"no autocorrelation along '{time}'" + (f" within '{name}'" if name else "")
    if len(next_to) < 20:
        say(label, np.nan, np.nan, "", f"only {len(next_to)} neighbours")
        return

    def neighbours(v):
        return np.corrcoef(v[next_to], v[next_to + 1])[0, 1]

    rng, found = np.random.default_rng(seed + 2), neighbours(value)
    made = np.array([neighbours(value[np.lexsort([rng.random(len(value)), series])]) for _ in range(draws)])
    p = two_sided(np.sum(made >= found), np.sum(made <= found), draws)
    say(label, found, p, f"neighbours are {'alike' if found > 0 else 'unlike'} (r = {found:.2f}, {made.mean():.2f} by "
        "chance), so that errors are too " + ("small; group by season or model time" if found > 0 else "large"))
