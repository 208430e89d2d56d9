"""Respiration measured by towers and chambers, and the models that are to say it of periods they have not seen.

Towers see the ecosystem, roots, stems and leaves with it, and only in well-mixed nights; chambers see the soil, by day
and night. Both give rows of one table: site, time, flux [µmol m⁻² s⁻¹, positive to the atmosphere], temperature of the
soil [°C], moisture [m³ m⁻³]. Whatever a model needs to know of a soil is told from the rows it is fitted to, or from
texture and bulk density. The models are in ``breath_models``, their responses in ``breath_responses``.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from phenolib import fluxes
from phenolib.errors import InputError, near

COLUMNS = ("site", "time", "flux", "temperature", "moisture", "uptake", "gpp", "instrument", "region")
STEPS = ("measured", "night", "mixed", "complete")  # shares that are told, each of what the one before has left
LOWEST = -1.0  # µmol m⁻² s⁻¹, below which the flux of a chamber is no flux of a soil (project default)
BRIGHT = 50.0  # W m⁻², light by which uptake is looked for
LIGHT_HOURS = 4.0  # of measured light that the uptake of a day needs
MINERAL, ORGANIC, MATTER = 2.65, 1.4, 1.724  # g cm⁻³, g cm⁻³, organic matter over organic carbon
DRY = 1.5e6 / 9.80665  # mm of water at −1.5 MPa, the wilting point


# ---- rows

@dataclass(frozen=True)
class Rows:
    """Usable rows of sites.

    table    DataFrame: site, time (UTC or clock of the file), flux, temperature, moisture, uptake and gpp (of the day
             before, net and gross, towers alone), instrument ("tower", "chamber"), region; NaN where not measured
    told     DataFrame by site: instrument, region, asked (times of the file), the shares ``STEPS`` (each of what is
             left by the one before), rows, retrieved (rows of asked), threshold, threshold_low, threshold_high (of
             u* [m s⁻¹]), why (a site gives nothing, or "")
    remarks  what the readers and steps have to say
    """

    table: pd.DataFrame
    told: pd.DataFrame
    remarks: tuple


def tower(data, *, site, region="", temperature="ts", moisture="swc", shortwave=10.0, threshold=None, draws=30, seed=0):
    """Rows of a flux tower: measured, by night, mixed air.

    data          (time) Dataset of ``sources.flux_tower.read``: nee, sw_in, ustar, ta, and ts, swc where they are
    site, region  names
    temperature   variable the rows have; that of the air where it is not there, and told
    moisture      variable the rows have; missing where it is not there
    shortwave     up to which it is night [W m⁻²]
    threshold     of u* [m s⁻¹]; None: ``fluxes.ustar_threshold``
    draws, seed   of the threshold's interval
    returns       Rows of one site
    raises        InputError for a variable that is missing, or where no threshold of u* can be had

    Values with more decimals than the file has otherwise are taken for filled (``fluxes.filled``). uptake: mean of the
    day before of max(−NEE, 0) at 50 W m⁻² and more, times the share of the day that is so bright; it needs four
    measured hours. It is what plants took up net of the respiration of that time. gpp: the same of GPP of the night
    partition (``fluxes.partition``); NaN where no partition can be had, and told. GPP is nearer to what plants live
    on, but it is made with the nights: for scores of unseen periods take uptake, which is of daylight alone.
    """
    for name in ("nee", "sw_in", "ustar", "ta"):
        if name not in data:
            raise InputError(f"the tower {site} has no '{name}'{near(name, data.data_vars)}; night and mixed air "
                             "cannot be told without it")
    remarks = [str(r) for r in data.attrs.get("remarks", ())]
    time, nee = data["time"].values.astype("datetime64[ns]"), data["nee"].values.astype(float)
    made_up = fluxes.filled(nee)
    if made_up.any():
        remarks.append(f"{site}: {int(made_up.sum())} of {np.isfinite(nee).sum()} values of NEE have more decimals "
                       "than the others; they are taken for filled and left out")
        nee = np.where(made_up, np.nan, nee)
    if temperature not in data or not np.isfinite(data[temperature]).any():
        remarks.append(f"{site}: no soil temperature '{temperature}'; that of the air stands for it")
        temperature = "ta"
    light, ustar = data["sw_in"].values.astype(float), data["ustar"].values.astype(float)
    air, warm = data["ta"].values.astype(float), data[temperature].values.astype(float)
    wet = data[moisture].values.astype(float) if moisture in data else np.full(time.size, np.nan)
    dark, low, high = fluxes.night(light, limit=shortwave), np.nan, np.nan
    if threshold is None:
        found = fluxes.ustar_threshold(time, nee, ustar, air, dark, draws=draws, seed=seed)
        threshold, (low, high) = found.value, found.interval
    measured = np.isfinite(nee)
    good = [measured, measured & dark, measured & dark & fluxes.mixed(ustar, threshold)]
    wanted = np.isfinite(warm) & (np.isfinite(wet) | ~np.isfinite(wet).any())
    good.append(good[-1] & wanted)
    table = pd.DataFrame({"site": site, "time": time, "flux": nee, "temperature": warm, "moisture": wet,
                          "uptake": _before(time, np.maximum(-nee, 0), light), "gpp": np.nan, "instrument": "tower",
                          "region": region})
    try:
        gross = fluxes.partition(time, nee, air, good[2], draws=2, seed=seed).series["gpp"].values
        table["gpp"] = np.maximum(_before(time, gross, light), 0)
    except InputError as problem:  # told; the rows serve without
        remarks.append(f"{site}: no GPP, {problem}")
    return Rows(table[good[-1]].reset_index(drop=True),
                _told(site, "tower", region, time.size, good, (float(threshold), low, high)), tuple(remarks))


def chamber(frame, *, site, region="", temperature=None, moisture=None, lowest=LOWEST):
    """Rows of automatic chambers: hourly means of all chambers of a site.

    frame                  of ``sources.field_sensors.read``
    site, region           names
    temperature, moisture  columns; None: the uppermost sensor
    lowest                 flux below which a measurement is left out [µmol m⁻² s⁻¹]
    returns                Rows of one site; with no column of temperature or moisture those are NaN
    raises                 InputError for a column that is missing

    Chambers see no plants above the ground, so the flux is of the soil, with its roots, by day and night.
    """
    remarks = [str(r) for r in frame.attrs.get("remarks", ())]
    columns = {"flux": "flux"}
    for name, given in (("temperature", temperature), ("moisture", moisture)):
        there = [c for c in frame if c.startswith(f"{name}_") and frame[c].notna().any()]
        if given is not None and given not in frame:
            raise InputError(f"the chambers of {site} have no column '{given}'{near(given, frame.columns)}")
        if given is None and there:
            given = min(there, key=lambda c: float(c.split("_")[1].removesuffix("cm")))
        if given is None:
            remarks.append(f"{site}: no sensor of {name} is beside the chambers")
        else:
            columns[given] = name
    sound = frame["flux"] >= lowest
    if not sound.all():
        remarks.append(f"{site}: {int((~sound).sum())} of {len(frame)} fluxes are below {lowest:g} µmol m-2 s-1 and "
                       "are left out")
    hourly = frame[sound].assign(time=frame["time"].dt.floor("h")).groupby("time")[list(columns)].mean()
    table = hourly.rename(columns=columns).reset_index().reindex(columns=list(COLUMNS)).assign(
        site=site, instrument="chamber", region=region)
    for name in ("temperature", "moisture", "uptake", "gpp"):
        table[name] = table[name].astype(float)
    measured = np.isfinite(table["flux"].to_numpy())
    whole = measured.copy()
    for name in ("temperature", "moisture"):
        there = table[name].notna().to_numpy()
        whole &= there | ~there.any()
    told = _told(site, "chamber", region, len(table), [measured, measured, measured, whole], (np.nan,) * 3)
    return Rows(table[whole].reset_index(drop=True), told, tuple(remarks))


def sites(archive, *, towers=None, chambers=None, threshold=None, draws=30, seed=0):
    """Rows of all towers and chambers of an archive.

    archive      with kinds(), flux_towers(), flux_tower(site), chamber_sites(), chambers(site) and cosmos_sites()
    towers       names; None for all, () for none
    chambers     alike
    threshold    of u* for all towers [m s⁻¹], or a dict by site; None: found at each
    draws, seed  of the thresholds' intervals
    returns      Rows; the region of a tower is its cluster in ``statics``, else its own name; chambers see other
                 fluxes and are regions of their own. A site that cannot be used stands in ``told`` with the reason
    raises       InputError if no site gives a row
    """
    known = statics(archive)
    regions = {} if known is None or "cluster" not in known else known.set_index("site")["cluster"].to_dict()
    names = [(n, "tower") for n in _names(archive, "flux_towers", towers)]
    names += [(n, "chamber") for n in _names(archive, "chambers", chambers)]
    tables, told, remarks = [], [], []
    for name, instrument in names:
        where = dict(site=name, region=str(regions.get(name, name) if instrument == "tower" else name))
        limit = threshold.get(name) if isinstance(threshold, dict) else threshold
        try:
            if instrument == "tower":
                found = tower(archive.flux_tower(name), threshold=limit, draws=draws, seed=seed, **where)
            else:
                found = chamber(archive.chambers(name), **where)
        except InputError as problem:  # told, and the other sites go on
            told.append(_told(name, instrument, where["region"], 0, None, (np.nan,) * 3, str(problem)))
            continue
        tables.append(found.table)
        told.append(found.told)
        remarks += found.remarks
    if not tables:
        raise InputError(f"none of {len(names)} sites gives a row" + (f"; {told[0]['why'].iloc[0]}" if told else ""))
    return Rows(pd.concat(tables, ignore_index=True), pd.concat(told), tuple(remarks))


def _names(archive, kind, given):
    if given is not None:
        return given
    if kind not in archive.kinds():
        return ()
    return archive.flux_towers() if kind == "flux_towers" else archive.chamber_sites()


def statics(archive):
    """Soils of the sites of an archive: those of its network, and the towers and chambers that stand at them.

    returns  DataFrame as ``cosmos_sites()``, whose column site has the names of towers and of chambers, too; None
             without such a table. Chambers belong to a tower if their description names it (site_id)
    """
    if "cosmos_sites" not in archive.kinds():
        return None
    table = archive.cosmos_sites()
    if "tower" not in table:
        return table
    there = table[table["tower"].fillna("") != ""]
    found = [table, there.assign(site=there["tower"])]
    for name in _names(archive, "chambers", None):
        code = archive.chambers(name).attrs.get("site_id", "")
        found.append(there[there["tower"] == code].assign(site=name))
    return pd.concat(found, ignore_index=True)


def thinned(table, most):
    """At most so many rows of each site, evenly along its time."""
    kept = []
    for _, part in table.groupby("site", sort=False):
        pick = np.unique(np.linspace(0, len(part) - 1, min(int(most), len(part))).round().astype(int))
        kept.append(part.iloc[pick])
    return pd.concat(kept, ignore_index=True)


def _told(site, instrument, region, asked, good, threshold, why=""):
    left = [asked] + [int(g.sum()) for g in good or ()]
    shares = [b / a if a else np.nan for a, b in zip(left, left[1:])] if good else [np.nan] * len(STEPS)
    rows = left[-1] if good else 0
    line = {"instrument": instrument, "region": region, "asked": asked, **dict(zip(STEPS, shares)), "rows": rows,
            "retrieved": rows / asked if asked else np.nan,
            **dict(zip(("threshold", "threshold_low", "threshold_high"), threshold)), "why": why}
    return pd.DataFrame([line], index=pd.Index([site], name="site"))


def _before(time, uptake, light):
    """Mean uptake of the day before at each time, of its bright half-hours alone; NaN with too few of them."""
    step = np.median(np.diff(time))
    date = (time - step // 2).astype("datetime64[D]")
    day = (date - date[0]).astype(int)
    bright = light >= BRIGHT
    there = bright & np.isfinite(uptake)
    count, whole, length = (np.bincount(day, w, day[-1] + 1) for w in (there, bright, np.ones(day.size)))
    sums = np.bincount(day, np.where(there, uptake, 0), day[-1] + 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(count * step.astype("timedelta64[s]").astype(float) >= LIGHT_HOURS * 3600,
                        sums / count * whole / length, np.nan)
    return np.concatenate([[np.nan], mean[:-1]])[day]


def threshold_effect(data, *, temperature="ta", shortwave=10.0, draws=30, count=5, seed=0):
    """What the threshold of u* does to the respiration of a tower: the night partition over its bootstrap.

    data         (time) Dataset of ``sources.flux_tower.read``
    temperature  variable of the partition
    shortwave    up to which it is night [W m⁻²]
    draws, seed  of the threshold
    count        of thresholds: quantiles of the draws from 5 to 95 %
    returns      DataFrame: threshold [m s⁻¹], nights (rows that are left), e0 [K], r_ref [µmol m⁻² s⁻¹], reco (mean of
                 the whole years as a sum [g C m⁻² a⁻¹]; NaN without a whole year)
    raises       InputError as ``fluxes.ustar_threshold`` and ``fluxes.partition``

    What all thresholds share, CO₂ that is stored or drains away in mixed nights as well, is not in the spread.
    """
    time, light, ustar, air, warm = (data[n].values for n in ("time", "sw_in", "ustar", "ta", temperature))
    nee = np.where(fluxes.filled(data["nee"]), np.nan, data["nee"].values)
    dark = fluxes.night(light, limit=shortwave)
    found = fluxes.ustar_threshold(time, nee, ustar, air, dark, draws=draws, seed=seed)
    lines = []
    for limit in np.nanquantile(found.drawn, np.linspace(0.05, 0.95, int(count))):
        usable = dark & fluxes.mixed(ustar, limit)
        parts = fluxes.partition(time, nee, warm, usable, draws=2, seed=seed)
        lines.append({"threshold": limit, "nights": int((usable & np.isfinite(nee)).sum()), "e0": parts.e0,
                      "r_ref": parts.r_ref, "reco": parts.yearly()["reco"].mean()})
    return pd.DataFrame(lines)


def partitions(archive, told, *, count=3, draws=40, seed=0):
    """Night partitions of the first towers of an archive, and what the threshold of u* does to them.

    archive      as ``sites``
    told         of ``Rows``: towers and their thresholds
    count        of towers
    draws, seed  of the partition; half the draws for the threshold
    returns      site → ``fluxes.Partition`` (temperature of the air), site → DataFrame of ``threshold_effect``
    """
    parts, limits = {}, {}
    for name in told.index[(told["instrument"] == "tower") & (told["rows"] > 0)][:count]:
        one = archive.flux_tower(name)
        nee = one["nee"].where(~fluxes.filled(one["nee"]))
        usable = fluxes.night(one["sw_in"]) & fluxes.mixed(one["ustar"], told.loc[name, "threshold"])
        parts[name] = fluxes.partition(one["time"], nee, one["ta"], usable, draws=draws, seed=seed)
        limits[name] = threshold_effect(one, draws=max(draws // 2, 2), count=3, seed=seed)
    return parts, limits


def years(parts, limits, truth=None):
    """Sums of years of partitions with both uncertainties.

    parts, limits  of ``partitions``
    truth          Dataset of ``breath_truth()`` with reco (site, time), or None
    returns        DataFrame by site [g C m⁻² a⁻¹]: sum (mean of the whole years), low, high (of the nights), least,
                   most (over thresholds of u*), true (NaN without a truth)
    """
    lines = {}
    for name, part in parts.items():
        yearly, spread, true = part.yearly().mean(), limits[name]["reco"], np.nan
        if truth is not None:
            true = float(truth["reco"].sel(site=name).mean()) * 365.25 * 86400 * fluxes.GRAMS
        lines[name] = {"sum": yearly["reco"], "low": yearly["low"], "high": yearly["high"], "least": spread.min(),
                       "most": spread.max(), "true": true}
    return pd.DataFrame(lines).T


# ---- soils

def soils(table, statics=None):
    """Water contents of the soils at saturation and at the wilting point, as the models need them.

    table    rows of training
    statics  DataFrame with site and what there is of bulk_density [g cm⁻³], soil_organic_carbon [g g⁻¹], sand, clay
             [0-1], e.g. ``cosmos_sites()``; None: from the rows alone
    returns  DataFrame by site: saturated, wilting [m³ m⁻³], saturated_of ("bulk density" or "wettest rows"),
             wilting_of ("texture" or "driest rows")

        θ_sat  = 1 − ρ_b / ρ_s,   1/ρ_s = m/1.4 + (1 − m)/2.65, m organic matter = 1.724 · carbon
        θ_wilt = θ_sat (ψ_s/ψ_wilt)^{1/b},  b = 2.91 + 0.159 clay%,  ψ_s = −10 · 10^{1.88 − 0.0131 sand%} mm

    Without them: the 99 % and 1 % quantiles of the site's own rows (project default), which are of the sensor and the
    years rather than of the soil. Where the wettest rows are above the porosity, they stand for it. Cosby et al.
    (1984), Water Resour. Res. 20:682, from memory.
    """
    given = pd.DataFrame() if statics is None else statics.set_index("site")
    lines = {}
    for site, rows in table.groupby("site", sort=False):
        wet = rows["moisture"].dropna()
        low, high = wet.quantile([0.01, 0.99]) if len(wet) else (np.nan, np.nan)
        known = given.loc[site] if site in given.index else pd.Series(dtype=float)
        saturated, of = high, "wettest rows"
        if np.isfinite(known.get("bulk_density", np.nan)):
            matter = min(MATTER * np.nan_to_num(known.get("soil_organic_carbon", 0.0)), 1.0)
            porosity = 1 - known["bulk_density"] * (matter / ORGANIC + (1 - matter) / MINERAL)
            if not porosity < high:
                saturated, of = porosity, "bulk density"
        wilting, by = low, "driest rows"
        if np.isfinite(known.get("sand", np.nan)) and np.isfinite(known.get("clay", np.nan)):
            suction = 10 * 10 ** (1.88 - 1.31 * known["sand"])
            wilting, by = saturated * (suction / DRY) ** (1 / (2.91 + 15.9 * known["clay"])), "texture"
        lines[site] = {"saturated": saturated, "wilting": wilting, "saturated_of": of, "wilting_of": by}
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("site")


# ---- held-out periods

def folds(time, *, block=30, count=5, seed=0):
    """Which fold each row is tested in; all sites and rows of one period are in the same.

    time     (n,) datetime64
    block    length of a period [days], or "year"
    count    of folds, at most the number of periods; with years each is a fold
    returns  (n,) int
    raises   InputError for fewer than two periods

    >>> days = np.datetime64("2020-01-01") + np.arange(0, 120, 30)
    >>> sorted(folds(days, count=2).tolist())
    [0, 0, 1, 1]
    """
    time = np.asarray(time, "datetime64[ns]")
    if block == "year":
        return pd.factorize((time - np.timedelta64(1, "m")).astype("datetime64[Y]"), sort=True)[0]  # ends of intervals
    period = ((time - time.min()) / np.timedelta64(1, "D") // block).astype(int)
    names = np.unique(period)
    if names.size < 2:
        raise InputError(f"the rows are of one period of {block} days; none can be left out")
    order = np.random.default_rng(seed).permutation(names.size)
    return (order % min(int(count), names.size))[np.searchsorted(names, period)]
