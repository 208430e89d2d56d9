import gstools
import numpy as np
import pytest

from phenolib import kriging
from phenolib.errors import InputError

SCALE, NUGGET, SILL = 1500.0, 0.3, 1.3
RANGE = SCALE * np.log(20)  # an exponential has gone 95 % of the way


def planted(seed, n=700, nugget=NUGGET, spread=30_000):
    "Samples of a field of known range and sill, with an error of known variance."
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, spread, (2, n)) + np.array([[500_000], [4_200_000]])
    field = gstools.SRF(gstools.Exponential(dim=2, var=SILL - NUGGET, len_scale=SCALE), seed=seed)
    return x, y, field((x, y), store=False) + rng.normal(0, nugget**0.5, n)


def test_the_planted_variogram_is_found():
    "Range, nugget and sill of six fields come out right in the middle, and none is far off."
    found = [kriging.variogram(*planted(seed)) for seed in range(6)]
    ranges = np.array([one.range for one in found])
    assert np.median(ranges) == pytest.approx(RANGE, rel=0.25) and (np.abs(np.log(ranges / RANGE)) < np.log(2.5)).all()
    assert np.median([one.nugget for one in found]) == pytest.approx(NUGGET, abs=0.15)
    assert np.median([one.sill for one in found]) == pytest.approx(SILL, rel=0.15)
    assert all(one.reached and 0.5 < one.structured < 1 for one in found)


@pytest.mark.parametrize("model", kriging.MODELS)
def test_the_range_is_where_the_model_has_gone_95_percent(model):
    "The practical range means the same for each form; γ is 0 at 0 and jumps to the nugget."
    one = kriging.variogram(*planted(0), model=model)
    assert one.at(one.range) == pytest.approx(one.nugget + 0.95 * (one.sill - one.nugget), rel=1e-3)
    assert one.at(0) == 0 and one.at(1e-6) == pytest.approx(one.nugget, rel=1e-3)
    assert one.lags.shape == one.gamma.shape == one.pairs.shape and one.pairs.min() > 0


def test_noise_has_no_structure_and_kriging_is_then_the_mean():
    "Values that do not depend on place: kriging hardly leaves their mean, and is it without any structure."
    x, y, _ = planted(0, 300)
    z = np.random.default_rng(5).normal(2, 1, 300)
    mean, variance = kriging.krige(x[50:], y[50:], z[50:], x[:50], y[:50], kriging.variogram(x[50:], y[50:], z[50:]))
    assert mean.std() < 0.4 and variance.mean() == pytest.approx(1, rel=0.2)
    mean, variance = kriging.krige(x, y, z, [509_000.0], [4_209_000.0],
                                   kriging.Variogram("Exponential", 1.0, 1.0, 500.0, 1500.0, *np.zeros((3, 4))))
    assert mean == pytest.approx(z.mean()) and variance == pytest.approx(1 + 1 / 300)


def test_kriging_is_exact_without_nugget_and_smooths_with_one():
    "Without nugget samples are returned where they are, with variance 0; with one they are not."
    x, y, z = planted(1, 60)
    form = dict(model="Exponential", sill=SILL, scale=SCALE, range=RANGE, lags=np.r_[1.0], gamma=np.r_[1.0],
                pairs=np.r_[1])
    exact, smooth = (kriging.krige(x, y, z, x, y, kriging.Variogram(nugget=nugget, **form)) for nugget in (0, NUGGET))
    assert np.allclose(exact[0], z, atol=1e-6) and np.allclose(exact[1], 0, atol=1e-6)
    assert np.abs(smooth[0] - z).mean() > 0.05 and (smooth[1] > NUGGET).all()


def test_kriging_is_that_of_gstools(monkeypatch):
    "Means and variances agree with gstools.krige.Ordinary, in pieces of any size."
    x, y, z = planted(2, 80)
    one = kriging.variogram(x, y, z)
    at = np.random.default_rng(3).uniform(0, 30_000, (2, 50)) + np.array([[500_000], [4_200_000]])
    monkeypatch.setattr(kriging, "CHUNK", 7)
    mean, variance = kriging.krige(x, y, z, *at, one)
    theirs = gstools.krige.Ordinary(one.fitted, (x, y), z)(at, store=False)
    assert np.allclose(mean, theirs[0], atol=1e-8) and np.allclose(variance, theirs[1], atol=1e-8)


def test_kriging_beats_the_mean_and_knows_its_error():
    "At samples that were held out it errs less than the mean, and nine in ten lie in the 90 % interval."
    x, y, z = planted(3, 700)
    known, held = np.arange(700) < 550, np.arange(700) >= 550
    one = kriging.variogram(x[known], y[known], z[known])
    mean, variance = kriging.krige(x[known], y[known], z[known], x[held], y[held], one)
    error = z[held] - mean
    assert np.sqrt((error**2).mean()) < 0.9 * np.sqrt(((z[held] - z[known].mean())**2).mean())
    assert 0.82 <= (np.abs(error) <= 1.645 * np.sqrt(variance)).mean() <= 0.97


def test_one_place_sampled_in_several_campaigns():
    "Pairs at one place tell the nugget; kriging takes them as one sample of less error, and nothing breaks."
    x, y, signal = planted(4, 150, nugget=0)
    rng = np.random.default_rng(0)
    xs, ys = (np.tile(part, 3) + rng.uniform(-0.2, 0.2, 450) for part in (x, y))
    z = np.tile(signal, 3) + rng.normal(0, NUGGET**0.5, 450)
    one = kriging.variogram(xs, ys, z)
    assert one.lags[0] == 0 and one.pairs[0] == 450 and one.gamma[0] == pytest.approx(NUGGET, rel=0.25)
    assert one.nugget == pytest.approx(NUGGET, rel=0.5)
    assert kriging.at_one_place(xs, ys, z)[3].tolist() == [3] * 150
    thrice, once = (kriging.krige(*part, x, y, one) for part in ((xs, ys, z), (xs[:150], ys[:150], z[:150])))
    assert np.isfinite(thrice).all() and (thrice[1] < once[1]).all()
    assert ((thrice[0] - signal)**2).mean() < ((once[0] - signal)**2).mean()


def test_shapes_and_order_stay():
    "A grid of places gives a grid of means; the same call gives the same numbers."
    x, y, z = planted(5, 50)
    one = kriging.variogram(x, y, z)
    grid = np.meshgrid(np.linspace(500_000, 530_000, 5), np.linspace(4_200_000, 4_230_000, 4))
    first, again = (kriging.krige(x, y, z, *grid, one) for _ in range(2))
    assert first[0].shape == first[1].shape == (4, 5) and (first[0] == again[0]).all()
    assert kriging.krige(x, y, z, [], [], one)[0].shape == (0,)


def test_samples_on_a_line():
    "A transect has no hull, but a largest distance: a third of it is looked at."
    x = np.arange(40) * 100.0
    z = np.sin(x / 700)
    assert kriging.variogram(x, 2 * x, z).lags[-1] < np.hypot(3900, 7800) / 3


def test_samples_that_cannot_be_kriged_are_refused():
    "One line says how many there are, or what is missing."
    x, y, z = planted(0, 30)
    gap = np.where(np.arange(30) == 4, np.nan, z)
    for given, said in [((x[:9], y[:9], z[:9]), "9 samples are too few"), ((x * 0, y * 0, z), "at one place"),
                        ((x, y, gap), "the first at row 4"), ((x, y, z[:20]), "shapes"),
                        ((x, y, z * 0 + 1), "all 30 values are 1")]:
        with pytest.raises(InputError, match=said) as error:
            kriging.variogram(*given)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="did you mean 'Spherical'"):
        kriging.variogram(x, y, z, model="spherica")
    with pytest.raises(InputError, match="lags = 2"):
        kriging.variogram(x, y, z, lags=2)
    with pytest.raises(InputError, match="no x or no y"):
        kriging.krige(x, y, z, [np.nan], [0.0], kriging.variogram(x, y, z))
