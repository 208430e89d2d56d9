"""Daily weather, soils and soil moisture of a network of sites, whole and in parts, as models of moisture read them.

A model of this book says the moisture of each day from the weather up to that day, what the soil is, and the state of a
simple uncalibrated bucket. Here are the series without gaps, that bucket, and the parts to train and test on.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError, near

WEATHER = ("precip", "ta", "rh", "sw_in", "ws", "pe")  # mm d⁻¹, °C, %, W m⁻², m s⁻¹, mm d⁻¹
STATICS = ("sand", "clay", "organic_carbon", "bulk_density", "elevation", "woodland")
TEXTURE = {"sand": 0.4, "clay": 0.2}  # of a site whose texture is not known or not used: a loam
LEFT_OUT = ("TADHM",)  # Tadham Moor, a peat that the network's published models leave out
MOST = 0.9  # m³ m⁻³: more is dropped, as the same models do
PROBES = 0.12  # m: point probes down to it are the target "probes"
LAYERS = 0.1, 0.4  # m: thickness of the two buckets
DRAINS = 2.0, 6.0  # days: to lose all but a third of what is above field capacity
FROM_TOP = 0.4  # share of the evaporation that is asked of the upper bucket
MELT = 3.0  # mm of snow a day and degree above zero


@dataclass(frozen=True)
class Series:
    """What models of moisture read.

    weather  (site, time, variable) DataArray float32 without gaps, daily
    theta    (site, time) DataArray of the target [m³ m⁻³], NaN where it is not known
    start    (site, time) DataArray of the uncalibrated bucket [m³ m⁻³], see ``first_guess``
    static   DataFrame indexed by site; without columns where soils are not used
    sites    DataFrame with site, cluster and whatever else is known of the sites
    remarks  what was left out or filled, a line each
    filled   share of the weather that was filled [-]
    """

    weather: xr.DataArray
    theta: xr.DataArray
    start: xr.DataArray
    static: pd.DataFrame
    sites: pd.DataFrame
    remarks: list = field(default_factory=list)
    filled: float = 0.0

    @property
    def cluster(self):
        """(site,) labels of the groups that are held out, or drawn, together."""
        return self.sites.set_index("site")["cluster"].reindex(self.theta["site"].values).to_numpy()

    def sel(self, **chosen):
        """The series of some sites or times, as ``xarray.DataArray.sel`` chooses them; lists and slices alone."""
        cut = {name: getattr(self, name).sel(chosen) for name in ("weather", "theta", "start")}
        names = cut["theta"]["site"].values
        return Series(**cut, static=self.static.loc[names], remarks=self.remarks, filled=self.filled,
                      sites=self.sites.set_index("site").loc[names].reset_index())


@dataclass(frozen=True)
class Parts:
    """Which days of which sites a model may learn from, stop by, and is tested on; (site, time) bool DataArrays.

    train       to fit to
    validation  to stop and choose by: other years of the same sites
    years       tested: known sites in years that were never seen
    sites       tested: sites that were never seen, in the years of the training
    both        tested: sites that were never seen in years that were never seen

    Days without a target are True too: they may have a truth.
    """

    train: xr.DataArray
    validation: xr.DataArray
    years: xr.DataArray
    sites: xr.DataArray
    both: xr.DataArray

    @property
    def known(self):
        """(site,) bool, whether a site is trained on."""
        return self.train.any("time").values

    def table(self, series):
        """DataFrame by part: sites, days with a target, first and last of them."""
        rows = {}
        for name in ("train", "validation", "years", "sites", "both"):
            there = getattr(self, name) & series.theta.notnull()
            days = there["time"].values[there.any("site").values]
            rows[name] = {"sites": int(there.any("time").sum()), "days": int(there.sum()),
                          "first": days.min() if days.size else pd.NaT, "last": days.max() if days.size else pd.NaT}
        return pd.DataFrame(rows).T.rename_axis("part")


# ---- from readings to series

def prepare(data, *, target="theta", statics=True, weather=WEATHER, extra=(), left_out=LEFT_OUT, least=60):
    """Series of a network of sites from its daily readings.

    data      an archive with daily readings of COSMOS-UK; or a pair: Dataset (site, time) with the variables of
              ``sources.cosmos``, and DataFrame with site, cluster and what there is of ``STATICS``, land_cover,
              soil_organic_carbon
    target    "theta": from cosmic-ray neutrons; "probes": mean of the point probes of the uppermost 12 cm
    statics   True: ``STATICS``; some of their names; False: no soil at all, and the bucket of a loam everywhere
    weather   variables that are read
    extra     further variables of the readings, e.g. ("lst", "swi") of satellites in place of the soil; a gap is filled
              with the last value, before the first with the mean of what all sites had up to then, or 0
    left_out  names of sites
    least     days with a target that a site needs
    returns   Series
    raises    InputError for a variable, column or kind of target that is missing, no site with a target, values out of
              range

    Weather that is missing at a site is that of the other sites of the day, moved by the mean difference of the site
    from them (precipitation: as it is; first those of its cluster, then all); a day without any site is interpolated.
    Weather is no target: what is to be found plays no part. Days of more than 0.9 m³ m⁻³ are dropped.
    """
    daily, sites = data if isinstance(data, tuple) else (data.cosmos_daily(), data.cosmos_sites())
    remarks = []
    names = [str(n) for n in daily["site"].values]
    for name in (*weather, *extra):
        if name not in daily:
            raise InputError(f"the readings have no variable '{name}'{near(name, daily.data_vars)}; give them, or "
                             "leave it out of weather")
    theta = _target(daily, target).transpose("site", "time")
    if float(theta.max()) > 1.5:
        raise InputError(f"soil moisture of {float(theta.max()):g}; a fraction is expected, divide per cent by 100")
    high = int((theta > MOST).sum())
    if high:
        remarks.append(f"{high} days of more than {MOST:g} m³ m⁻³ were dropped")
        theta = theta.where(~(theta > MOST))
    kept = [n for n, days in zip(names, theta.notnull().sum("time").values) if days >= least and n not in left_out]
    if not kept:
        raise InputError(f"no site has {least} days with soil moisture; give other sites, or a smaller 'least'")
    if len(kept) < len(names):
        remarks.append(f"left out: {', '.join(n for n in names if n not in kept)}")
    at = xr.DataArray(kept, dims="site")
    daily, theta = daily.sel(site=at), theta.sel(site=at)
    sites = _sites(sites, kept)
    static = _static(sites, statics, remarks)
    read, filled = _weather(daily, sites["cluster"].to_numpy(), weather, extra)
    if filled > 0.0005:
        remarks.append(f"{filled:.1%} of the weather was missing and was taken from other sites")
    coordinates = {"site": np.array(kept), "time": daily["time"].values}
    read = xr.DataArray(read.astype(np.float32), coordinates | {"variable": [*weather, *extra]},
                        ("site", "time", "variable"))
    theta = xr.DataArray(theta.values.astype(np.float32), coordinates, ("site", "time"), "theta",
                         {"units": "m3 m-3", "long_name": f"soil moisture, {target}"})
    return Series(read, theta, first_guess(read, static), static, sites, remarks, filled)


def _target(daily, target):
    if target == "theta":
        if "theta" not in daily:
            raise InputError(f"the readings have no variable 'theta'{near('theta', daily.data_vars)}")
        return daily["theta"]
    if target != "probes":
        raise InputError(f"target '{target}' is not known{near(target, ('theta', 'probes'))}")
    if "theta_tdt" not in daily:
        raise InputError("the readings have no point probes (variable 'theta_tdt'); give target='theta'")
    from phenolib.sources.cosmos import PROBE_DEPTHS

    probes = daily["theta_tdt"]
    depth = probes["probe_depth"].values if "probe_depth" in probes.coords else np.array(
        [PROBE_DEPTHS[int(p)] for p in probes["probe"].values])
    near_top = np.flatnonzero(depth <= PROBES)
    if not near_top.size:
        raise InputError(f"the uppermost point probe is {depth.min():g} m deep; one of {PROBES:g} m or less is needed")
    return probes.isel(probe=near_top).mean("probe", skipna=True)


def _sites(sites, kept):
    missing = [n for n in kept if n not in set(sites["site"])]
    if missing:
        raise InputError(f"site '{missing[0]}' has readings and no line in the table of sites"
                         f"{near(missing[0], sites['site'])}")
    made = sites.set_index("site").loc[kept].reset_index()
    if "cluster" not in made:
        made["cluster"] = made["site"]
    made["cluster"] = made["cluster"].astype(str)
    if "organic_carbon" not in made and "soil_organic_carbon" in made:
        made["organic_carbon"] = made["soil_organic_carbon"]
    if "woodland" not in made and "land_cover" in made:
        made["woodland"] = made["land_cover"].astype(str).str.contains("wood|forest", case=False).astype(float)
    return made


def _static(sites, statics, remarks):
    wanted = STATICS if statics is True else () if statics is False or statics is None else tuple(statics)
    found = pd.DataFrame(index=pd.Index(sites["site"], name="site"))
    for name in wanted:
        if name not in sites:
            raise InputError(f"the table of sites has no column '{name}'{near(name, sites.columns)}; give it, or name "
                             "in statics what there is, or statics=False")
        values = sites[name].to_numpy(float)
        if name in ("sand", "clay", "organic_carbon") and np.nanmax(values) > 1:
            raise InputError(f"{name} of {np.nanmax(values):g} at site '{sites['site'][int(np.nanargmax(values))]}'; a "
                             "share is expected, divide per cent by 100")
        there = np.isfinite(values)
        if not there.any():
            raise InputError(f"no site has a value of '{name}'; leave it out of statics")
        if not there.all():
            remarks.append(f"{name} of {', '.join(sites['site'][~there])} is not known: the median of the others")
        found[name] = np.where(there, values, np.median(values[there]))
    return found


def _weather(daily, cluster, weather, extra):
    """(site, time, variable) without gaps, and the share of the weather that was filled."""
    found, gaps = [], []
    for name in weather:
        values = daily[name].transpose("site", "time").values.astype(float)
        gaps.append(np.isnan(values).mean())
        for group in (cluster, np.zeros(len(values), int)):
            values = _from_others(values, group, moved=name != "precip")
        if np.isnan(values).all():
            raise InputError(f"the readings have no value of '{name}' at any site; leave it out of weather")
        days = np.arange(values.shape[1])
        for row in values:
            gap = np.isnan(row)
            if gap.any() and not gap.all():
                row[gap] = 0 if name == "precip" else np.interp(days[gap], days[~gap], row[~gap])
        found.append(values)
    for name in extra:
        values = pd.DataFrame(daily[name].transpose("site", "time").values.astype(float))
        sums, count = values.sum().cumsum(), values.notna().sum().cumsum()
        usual = (sums / count.where(count > 0)).fillna(0.0)
        values = values.ffill(axis=1)
        found.append(values.where(values.notna(), usual, axis=1).to_numpy())
    return np.stack(found, -1), float(np.mean(gaps))


def _from_others(values, group, moved):
    """Gaps (site, time) filled with the mean of the sites of the group on the day."""
    values = values.copy()
    for one in np.unique(group):
        rows = np.flatnonzero(group == one)
        own, there = values[rows], np.isfinite(values[rows])
        if there.all():
            continue
        total, count = np.where(there, own, 0).sum(0), there.sum(0)
        for row, known, mine in zip(rows, there, own):
            others = count - known
            mean = np.where(others > 0, (total - np.where(known, mine, 0)) / np.maximum(others, 1), np.nan)
            both = known & (others > 0)
            away = (mine - mean)[both].mean() if moved and both.any() else 0.0
            values[row] = np.where(known, mine, mean + away)
    return values


# ---- the bucket that gives the state at the start

def first_guess(weather, static=None):
    """Soil moisture of two buckets with parameters from texture alone, nothing calibrated: a first guess.

        upper:  rain and melt in; evaporation 0.4·PE·β₁; above field capacity drains to the lower, e-fold 2 d
        lower:  that in; transpiration 0.6·PE·β₂; above field capacity drains away, e-fold 6 d
        β = (θ − θ_w)/(θ_fc − θ_w) in 0-1;  what is above saturation runs off;  snow lies below 0 °C, melts 3 mm/(K d)
        θ_start = mean of both (10 and 40 cm thick)

    weather  (site, time, variable) DataArray with precip [mm], pe [mm], ta [°C], daily; ta may be missing (no snow)
    static   DataFrame by site with sand and clay [0-1]; where they are missing: a loam
    returns  (site, time) DataArray float32 [m³ m⁻³]
    raises   InputError without precip or pe, or a static table that lacks a site

    Causal: it begins at field capacity on the first day and knows nothing of later ones. The form is that of simple
    land-surface models, thicknesses, times and shares are project defaults; porosity, −33 kPa and −1.5 MPa by Cosby et
    al. (1984), Water Resour. Res. 20:682.

    >>> day = np.zeros((1, 400, 2), "f4"); day[..., 1] = 3.0  # no rain, 3 mm asked for
    >>> at = {"site": ["A"], "time": pd.date_range("2020-01-01", periods=400), "variable": ["precip", "pe"]}
    >>> dry = first_guess(xr.DataArray(day, at, ("site", "time", "variable")))
    >>> [round(float(v), 3) for v in (dry[0, 0], dry[0, -1], limits(0.4, 0.2)[2])]
    [0.276, 0.151, 0.151]
    """
    names = list(weather["variable"].values)
    for name in ("precip", "pe"):
        if name not in names:
            raise InputError(f"the weather has no '{name}'{near(name, names)}; the bucket needs precip and pe")
    weather = weather.transpose("site", "time", "variable")
    sites = weather["site"].values
    texture = {}
    for name, usual in TEXTURE.items():
        given = static is not None and name in static
        if given and not set(sites) <= set(static.index):
            raise InputError("the static table lacks a site of the weather; give a row for each, indexed by site")
        texture[name] = static.loc[sites, name].to_numpy() if given else np.full(len(sites), usual)
    values = {name: weather.values[..., names.index(name)].T for name in ("precip", "pe", "ta") if name in names}
    theta = bucket(values["precip"], values["pe"], values.get("ta"), texture["sand"], texture["clay"])
    return xr.DataArray(theta.T, {"site": sites, "time": weather["time"].values}, ("site", "time"), "start",
                        {"units": "m3 m-3", "long_name": "soil moisture of a bucket that nothing was fitted of"})


def limits(sand, clay):
    """Saturation, field capacity (−33 kPa) and wilting point (−1.5 MPa) of a mineral soil [m³ m⁻³].

    θ_s = 0.489 − 0.126 sand,  ψ_s = 10·10^(1.88 − 1.31 sand) mm,  b = 2.91 + 15.9 clay,  θ(ψ) = θ_s (ψ/ψ_s)^(−1/b)

    sand, clay  [0-1]
    returns     three arrays

    Cosby et al. (1984), univariate regressions, as the Community Land Model uses them.

    >>> [round(float(v), 3) for v in limits(0.4, 0.2)]
    [0.439, 0.282, 0.151]
    """
    sand, clay = (np.asarray(v, float) for v in (sand, clay))
    saturated = 0.489 - 0.126 * sand
    suction, b = 10 * 10 ** (1.88 - 1.31 * sand), 2.91 + 15.9 * clay  # mm
    capacity, wilting = (saturated * np.minimum((kpa * 101.97 / suction) ** (-1 / b), 1) for kpa in (33, 1500))
    return saturated, capacity, wilting


def bucket(precip, pe, ta=None, sand=0.4, clay=0.2):
    """The two buckets of ``first_guess`` on plain arrays, days first: what grids use.

    precip, pe  (time, cell) [mm d⁻¹];  ta (time, cell) [°C] or None
    sand, clay  (cell,) [0-1]
    returns     (time, cell) float32 [m³ m⁻³]
    """
    precip, pe = np.asarray(precip, np.float32), np.asarray(pe, np.float32)
    saturated, capacity, wilting = (np.broadcast_to(v, precip.shape[1:]).astype(np.float32)
                                    for v in limits(sand, clay))
    thick = [1000 * z for z in LAYERS]                                                  # mm
    room = [np.float32(z) * saturated for z in thick]
    full = [np.float32(z) * capacity for z in thick]
    least = [np.float32(z) * wilting for z in thick]
    span = [f - low for f, low in zip(full, least)]
    leaves = [np.float32(1 - np.exp(-1 / t)) for t in DRAINS]
    shares = np.float32(FROM_TOP), np.float32(1 - FROM_TOP)
    top, low = full[0].copy(), full[1].copy()
    found, snow = np.empty_like(precip), np.zeros_like(top)
    depth = np.float32(1 / sum(thick))
    for day in range(len(precip)):
        water = precip[day]
        if ta is not None:
            cold = ta[day] <= 0
            snow += np.where(cold, water, 0)
            melt = np.minimum(snow, np.maximum(ta[day], 0) * np.float32(MELT))
            snow -= melt
            water = np.where(cold, 0, water) + melt
        asked = np.maximum(pe[day], 0)
        top += water
        top -= asked * shares[0] * np.clip((top - least[0]) / span[0], 0, 1)
        down = leaves[0] * np.maximum(top - full[0], 0)
        top -= down
        np.minimum(top, room[0], out=top)
        low += down
        low -= asked * shares[1] * np.clip((low - least[1]) / span[1], 0, 1)
        low -= leaves[1] * np.maximum(low - full[1], 0)
        np.minimum(low, room[1], out=low)
        found[day] = (top + low) * depth
    return found


# ---- parts

def parts(series, *, test_years=(), validation_years=(), test_clusters=(), test_sites=(), seed=0):
    """Parts of a network: years and whole clusters of sites are held out.

    series            Series
    test_years        that are never seen, e.g. (2020, 2021)
    validation_years  of the known sites, to stop by; never tested
    test_clusters     names of clusters whose sites are never seen, or how many of them are drawn
    test_sites        names of sites that are never seen; the others of their clusters are on no side. For leaving one
                      site out
    seed              of the draw
    returns           Parts
    raises            InputError for unknown years, clusters or sites, a year on two sides, nothing left to train on

    In the validation years the unseen sites are on no side.
    """
    cluster, names = series.cluster, series.theta["site"].values
    year = series.theta["time"].dt.year.values
    test_years, validation_years = (tuple(np.atleast_1d(v).astype(int)) if np.size(v) else () for v in (
        test_years, validation_years))
    for one in (*test_years, *validation_years):
        if one not in year:
            raise InputError(f"the year {one} is not in the series, which go from {year.min()} to {year.max()}")
    twice = set(test_years) & set(validation_years)
    if twice:
        raise InputError(f"the year {min(twice)} is for test and for validation; give other years for one of them")
    if isinstance(test_clusters, int | np.integer):
        every = np.unique(cluster)
        if not 0 <= test_clusters < every.size:
            raise InputError(f"{test_clusters} clusters for the test; there are {every.size}, and some must be left")
        test_clusters = np.random.default_rng(seed).permutation(every)[:test_clusters]
    for one in test_clusters:
        if one not in cluster:
            raise InputError(f"cluster '{one}' is not among the sites{near(one, np.unique(cluster))}")
    for one in test_sites:
        if one not in names:
            raise InputError(f"site '{one}' is not in the series{near(one, names)}")
    unseen = np.isin(cluster, list(test_clusters)) | np.isin(names, list(test_sites))
    known = ~np.isin(cluster, cluster[unseen])
    tested, stopped = np.isin(year, test_years), np.isin(year, validation_years)
    trained = ~tested & ~stopped
    made = Parts(*(series.theta.copy(data=site[:, None] & days).drop_attrs().rename(None) for site, days in (
        (known, trained), (known, stopped), (known, tested), (unseen, trained), (unseen, tested))))
    if not (made.train & series.theta.notnull()).any():
        raise InputError("the parts leave no day with soil moisture to train on; hold out less")
    return made


def at_random(series, *, test=0.2, validation=0.1, seed=0):
    """Days drawn whatever their site and year: optimistic, for the days beside a tested one are trained on.

    To show that alone; the tested days are in ``years``, and ``sites`` and ``both`` are empty.

    series            Series
    test, validation  shares of the days [-]
    seed              of the draw
    returns           Parts
    """
    lot = np.random.default_rng(seed).random(series.theta.shape)
    none = np.zeros(lot.shape, bool)
    return Parts(*(series.theta.copy(data=v).drop_attrs().rename(None) for v in (
        lot >= test + validation, (lot >= test) & (lot < test + validation), lot < test, none, none.copy())))
