"""One field through one year as its instruments see it: camera, satellite, tubes, probes, samples and chambers.

Leaves, roots, water and heat are those of one of the ``plot_growth``; what is added here are two layers of salt, and
the carbon dioxide that microbes and roots breathe. Salt comes up with water from a saline subsoil and goes down with
rain. It stays below what maize feels, and nothing that grows is changed by it. Its rates, and those of the breath, are
project defaults.
"""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import xarray as xr
from PIL import Image

from phenolib import responses
from phenolib.errors import InputError, near
from phenolib.files import atomic, write_text
from phenolib.simulate import camera_view, cameras, land, optics, plot_growth, plots, profile, rhizotron, true_dates
from phenolib.simulate.calendar import stream
from phenolib.simulate.config import DEFAULT
from phenolib.sources import field_sensors, minirhizotron, moisture_stations, phenocam, salt_samples

NAME = "onefield"
TUBES = (0.1, 0.2, 0.4)  # depths of tubes [m], two at each
PROBES = np.array([0.05, 0.1, 0.2, 0.5, 1.0])  # depths at each of the stations [m]
SPOTS = 4  # of the field, whose soils and crops differ a little: a station of probes in each, all else in the first
SALT_LAYERS = ((0, 30), (30, 70))  # [cm]
CAMPAIGNS = ("03-10", "04-21", "06-02", "07-07", "08-11", "09-08", "10-13", "11-24")
POINTS = 10  # of each campaign
DENSITY = 1400.0  # of the soil [kg m⁻³]
SALT = (0.28, 0.55)  # of both layers to begin with [g kg⁻¹]
BELOW = 7.0  # of the saline water below 0.7 m [g l⁻¹]
WASHED = 0.35  # share of the water that goes down which takes salt along; the rest runs through large pores
MIXED = (0.12, 0.25)  # exchange between both layers, and with the water below [mm d⁻¹]
BASE, Q10 = 1.7, 2.0  # of microbes, at f = g = 1 [µmol m⁻² s⁻¹], and for ten kelvin
KEPT, GROWN = 0.011, 0.25  # breath of 1 cm cm⁻² of roots at g = 1, and of 1 cm cm⁻² d⁻¹ that grows [µmol m⁻² s⁻¹]
COLLARS = 8  # chambers; the last four stand on soil whose roots were cut off by a trench
HOURS = 3  # between two measurements of a chamber

ARCHIVE = """\
title: simulated
licence: CC0-1.0
note: one simulated field of {crop}, {treatment}, in {year}, with known truth; seed {seed}
kinds:
  cameras: {{path: "phenocam/*_[13]day.csv", reader: phenocam, units: "1"}}
  plots: {{path: "plots/plots.csv", reader: plot_tables, units: "kPa, degC, reflectance 1"}}
  root_images: {{path: "roots/images/*.jpg", reader: minirhizotron, units: "8 bit"}}
  salt: {{path: "salt/*_salt_samples.csv", reader: salt_samples, units: "g kg-1"}}
  moisture_stations: {{path: "stations/uscrn_daily.csv.gz", reader: uscrn, units: "m3 m-3"}}
  chambers: {{path: "soil_respiration/*.csv.gz", reader: field_sensors, units: "umol m-2 s-1"}}
"""


@dataclass(frozen=True)
class Settings:
    """What the field may be asked for beside the seed."""

    year: int = 2021
    treatment: str = "sheltered"
    crop: str = "corn"

    def __post_init__(self):
        for name, known in (("treatment", plot_growth.TREATMENTS), ("crop", plot_growth.CROPS)):
            if getattr(self, name) not in known:
                raise InputError(f"{name} = {getattr(self, name)}: is not known{near(getattr(self, name), known)}")
        if not 2015 <= self.year <= 2100 or self.year == plot_growth.LEFT_OUT:
            raise InputError(f"year = {self.year}: a year from 2015 to 2100 is expected, other than "
                             f"{plot_growth.LEFT_OUT}, which plots leave out")


def make(folder, *, config=DEFAULT, settings=None):
    """Write the files of the field.

    folder    receives phenocam/, plots/, roots/, salt/, stations/, soil_respiration/, truth/ and archive.yml
    config    for the seed, ``warmer``, ``rain`` and ``cloud``
    settings  ``Settings``

    truth/plots_field.nc holds the noise-free year: (time) gcc, root_length [cm cm-3, mean of the depths of tubes],
    surface and root_zone [m3 m-3], salt (time, layer) [g kg-1], and (hour) soil_breath and root_breath
    [umol m-2 s-1] and moisture_response f [-]; truth/cameras.csv and truth/plots_dates.csv hold the dates of camera and
    roots.
    """
    folder, settings, seed = Path(folder), settings or Settings(), config.seed
    field = live(settings, config)
    grown, span = field.grown.isel(plot=[0]), plot_growth.Settings(first=settings.year, last=settings.year)
    plots.write(folder, grown, span, config)
    clean, events = camera(folder, field, settings, seed)
    write_text(folder / "truth" / "cameras.csv",
               true_dates.table(events, ["series", "site", "crop", "season", "direction", "share", "date"]))
    dates = [*dated("camera", events), *dated("root", photographs(folder, field, settings, seed)),
             *dated("satellite", plots.dates(grown, span))]
    write_text(folder / "truth" / "plots_dates.csv", true_dates.table(dates, list(dates[0])))
    samples(folder, field, settings, seed)
    stations(folder, field, seed)
    chambers(folder, field, settings, seed)
    one = grown.isel(plot=0, drop=True)
    truth = xr.Dataset({
        "gcc": ("time", clean), "root_length": one["root_length"].sel(depth=list(TUBES)).mean("depth"),
        "surface": ("time", field.surface.mean(1)), "root_zone": ("time", field.root_zone.mean(1)),
        "salt": (("time", "layer"), field.salt), "soil_breath": ("hour", field.soil_breath),
        "root_breath": ("hour", field.root_breath), "moisture_response": ("hour", field.moisture_response)},
        {"time": one["time"], "hour": field.hour})
    with atomic(folder / "truth" / "plots_field.nc") as part:
        truth.drop_vars(["climate", "latitude", "elevation", "treatment"], errors="ignore").drop_attrs().astype(
            "float32").to_netcdf(part, engine="h5netcdf", encoding={
                **{name: {"zlib": True, "complevel": 4} for name in truth},
                "time": {"units": "days since 2000-01-01", "dtype": "int32"},
                "hour": {"units": "hours since 2000-01-01", "dtype": "int32"}})
    write_text(folder / "archive.yml", ARCHIVE.format(seed=seed, **vars(settings)))


def dated(what, rows):
    """Rows of truth/plots_dates.csv: what, event ("sos20"), date; of rows with an organ those of leaves."""
    side = {"rising": "sos", "falling": "eos"}
    return [{"what": what, "event": f"{side[row['direction']]}{row['share']:02d}", "date": row["date"]}
            for row in rows if row.get("organ", "leaf") == "leaf"]


# ---- what is true

def live(settings, config=DEFAULT):
    """The field's year without any instrument.

    returns  namespace: grown (``plot_growth.grow`` of the spots), theta (time, layer, spot) of ``profile``, warm
             (time,) [°C] at 5 cm, surface and root_zone (time, spot) [m³ m⁻³], salt (time, layer) [g kg⁻¹], soil
             (``land.Soil``), and hour (hour,) with warm_hour, wet_hour, moisture_response, soil_breath and root_breath
             [µmol m⁻² s⁻¹]
    """
    others = [crop for crop in plot_growth.CROPS if crop != settings.crop]
    table = pd.DataFrame({"plot": [f"F{k + 1}" for k in range(SPOTS)], "treatment": settings.treatment,
                          "even": settings.crop if settings.year % 2 == 0 else others[0]})
    asked = plot_growth.Settings(first=settings.year, last=settings.year, warmer=config.warmer, rain=config.rain)
    grown = plot_growth.grow(asked, seed=config.seed, plots=table)
    span = settings.year, settings.year
    state = plot_growth.Plots(table, grown, span, plot_growth.GROWTHS[asked.growth], config.seed)
    theta, warm, above = [], [], []
    for t in range(grown.sizes["time"]):  # once more, for what ``grow`` does not keep
        state.day(t)
        theta.append(state.theta.copy())
        warm.append((land.at_depths([0.05]) @ state.heat)[0, 0])
        above.append(state.pond[0] + state.snow[0])
    made = SimpleNamespace(grown=grown, theta=np.array(theta), warm=np.array(warm), above=np.array(above),
                           soil=state.soil)
    made.surface = made.theta[:, :2].mean(1)  # 0–5 cm, and of 5–15 cm the upper half
    made.root_zone = (made.theta[:, :6] * profile.THICK[:6]).sum(1) / profile.THICK[:6].sum()
    made.salt = salinity(made)
    breath(made)
    return made


def salinity(made):
    """Salt of two layers by the water that passes between them, (time, layer) [g kg⁻¹].

    A layer's salt is dissolved in its water. What flows is what is left of the layer's water balance: inflow, less
    evaporation and uptake, less the change of storage. It takes the salt of where it comes from, on its way down only a
    share of it (leaching efficiency); dispersion mixes the layers.
    """
    one, wide = made.grown.isel(plot=0), 1000 * profile.THICK[:, 0]
    time = pd.DatetimeIndex(one["time"].values)
    summer = (time.month >= 5) & (time.month <= 8) & (str(one["treatment"].values) == "sheltered")
    falls = np.where(summer, plot_growth.SHELTER, 1.0) * one["rain"].values + one["irrigation"].values
    enters = falls - np.diff(made.above, prepend=made.above[0])
    leaf, total = one["lai_green"].values, one["lai_total"].values
    drunk = one["et"].values * -np.expm1(-0.6 * leaf) / (-np.expm1(-0.6 * leaf) + 0.6 * np.exp(-0.5 * total))
    share = np.exp(-4 * profile.MIDDLES) * profile.THICK[:, 0]
    share = share / share.sum()
    parts = (slice(0, 3), slice(3, 5))
    water = np.stack([made.theta[:, part, 0] @ wide[part] for part in parts], 1)  # [mm]
    mass = DENSITY * np.array([wide[part].sum() / 1000 for part in parts])  # of the soil [kg m⁻²]
    held, kept = np.array(SALT) * mass, []  # [g m⁻²]
    change = np.diff(water, axis=0, prepend=water[:1])
    for t in range(len(time)):
        first = enters[t] - (one["et"].values[t] - drunk[t]) - drunk[t] * share[parts[0]].sum() - change[t, 0]
        second = first - drunk[t] * share[parts[1]].sum() - change[t, 1]
        dense = held / water[t]  # [g l⁻¹]
        below = np.array([dense[1], BELOW])
        flow = np.array([first, second])
        moved = np.where(flow > 0, WASHED * flow * dense, flow * below) + MIXED * (dense - below)
        moved = np.clip(moved, -0.2 * held.sum(), 0.2 * held)
        held = np.maximum(held - moved + np.array([0.0, moved[0]]), 0.01)
        kept.append(held / mass)
    return np.array(kept)


def breath(made):
    """Adds what microbes and roots breathe, by the hour: base · f(θ) · g(T) of JULES; upkeep and growth of roots."""
    one = made.grown.isel(plot=0)
    day = one["time"].values.astype("datetime64[h]")
    made.hour = np.arange(day[0], day[-1] + np.timedelta64(24, "h")).astype("datetime64[ns]")
    at = np.arange(made.hour.size) / 24 - 0.5  # days as of noon
    clock = np.arange(made.hour.size) % 24

    def hourly(values):
        return np.interp(at, np.arange(len(day)), values)

    swing = 0.12 * one["radiation"].values * np.exp(-0.4 * one["lai_total"].values)
    made.warm_hour = hourly(made.warm) + hourly(swing) * np.sin(2 * np.pi * (clock - 9) / 24)
    made.wet_hour = hourly(made.surface[:, 0])
    g = responses.q10(made.warm_hour, q10=Q10)
    f = responses.jules_moisture(made.wet_hour, made.soil.saturated[0], made.soil.wilting[0])
    made.moisture_response, made.soil_breath = f, BASE * f * g
    edges = np.concatenate([[0], (plot_growth.DEPTHS[1:] + plot_growth.DEPTHS[:-1]) / 2, [1.4]])
    thick = 100 * np.diff(edges)  # [cm]
    made.root_breath = KEPT * hourly(one["root_length"].values @ thick) * g + GROWN * hourly(one["made"].values @ thick)


# ---- what is measured

def camera(folder, field, settings, seed):
    """Write the series of the camera. returns (time,) greenness without noise, and rows of truth/cameras.csv"""
    one = field.grown.isel(plot=0)
    time, area, brown = one["time"].values, one["lai_total"].values, np.clip(one["ripeness"].values, 0, 1)
    half = int(np.argmax(area >= area.max() / 2))
    days = np.arange(area.size)
    age = -np.expm1(-np.clip(days - half - 10, 0, None) / cameras.AGEING)
    turned = np.maximum.accumulate(np.where(days >= half, brown, 0))
    top = np.where(days < half, 1 - brown, (1 - np.interp(days + 4, days, turned)) * (1 - 0.2 * age))
    clean = camera_view.greenness(area, np.clip(top, 0, 1), ground=0.335, leaves=0.425)
    clean = np.where(area > 0.01, clean, 0.335)
    ends = np.searchsorted(time, [one["sowing"].values[0], one["harvest"].values[0]])
    place = SimpleNamespace(site=NAME, lat=plot_growth.LAT, lon=plot_growth.LON)
    inside = slice(*(f"{settings.year}-{day}" for day in ("03-01", "12-01")))
    for k in range(50):  # a camera that ran through the season
        seen = cameras.instrument(stream(seed, "field", "camera", k), place, clean, days.astype(float),
                                  time[0].astype("datetime64[D]"))
        if seen["gcc_90"].sel(time=inside).notnull().sum() >= 86:
            break
    phenocam.write(seen.assign_attrs(elev=104.0), folder / "phenocam" / f"{NAME}_AG_1000_3day.csv")
    rows = true_dates.share_dates(time, clean, [(settings.crop, settings.year, *ends)], true_dates.SHARES,
                                  cameras.LEAST)
    return clean, [{**row, "series": f"{NAME}_AG_1000", "site": NAME, "crop": row["crop"].replace("_", " "),
                    "date": str(row["date"])[:10]} for row in rows]


def photographs(folder, field, settings, seed):
    """Write weekly images of the tubes, each with its mask, as traced by a hand that sees what is there.

    returns  dates of the true mean root length of the tubes' depths: list of dict
    """
    grown = field.grown.isel(plot=0)
    tubes = pd.DataFrame([{"tube": f"T{k + 1:03d}", "plot": "F1", "depth_cm": round(100 * z),
                           "mm_per_pixel": rhizotron.MM, "depth_of_field_mm": rhizotron.FIELD}
                          for k, z in enumerate(np.repeat(TUBES, 2))])
    minirhizotron.write_tubes(folder / "roots", tubes)
    time = pd.DatetimeIndex(grown["time"].values)
    first, last = plots.SEEN[settings.crop]
    inside = np.flatnonzero((time.year == settings.year) & (time.day_of_year >= first) & (time.day_of_year <= last))
    for tube in tubes.itertuples():
        own = grown.sel(depth=tube.depth_cm / 100)
        window = rhizotron.Window(stream(seed, "field", tube.tube), own["made"].values, own["lost"].values,
                                  wetness=optics.wetness(np.clip(own["theta"].values, 0, 1)))
        for day in inside[::7]:
            date = time[day]
            image, mask = window.image(stream(seed, "field", tube.tube, str(date.date())), day + 0.5)
            path = minirhizotron.write(folder / "roots", image, tube=tube.tube, depth_cm=tube.depth_cm, date=date)
            target = folder / "roots" / "masks" / path.with_suffix(".png").name
            with atomic(target) as part:
                Image.fromarray(mask).save(part, "PNG")
    curve = grown["root_length"].sel(depth=list(TUBES)).mean("depth").values
    spans = [(settings.crop, settings.year, inside[0], inside[-1])]
    end = inside[-1] + 1
    return [{**row, "date": str(row["date"])[:10]}
            for row in true_dates.share_dates(time.values[:end], curve[:end], spans, true_dates.SHARES, 0.0)]


def samples(folder, field, settings, seed):
    """Write what the salt of soil cores is, in two layers, at the same points in each campaign."""
    rng, time = stream(seed, "field", "salt"), pd.DatetimeIndex(field.grown["time"].values)
    place = np.column_stack([318_000 + 60 * rng.random(POINTS), 5_638_000 + 40 * rng.random(POINTS)]).round(1)
    spot = 0.18 * rng.standard_normal(POINTS)  # what a place has more or less than others, all year
    rows = []
    for date in (f"{settings.year}-{day}" for day in CAMPAIGNS):
        true = field.salt[time.get_loc(pd.Timestamp(date))]
        for k, (top, bottom) in enumerate(SALT_LAYERS):
            value = true[k] * np.exp(spot + 0.08 * rng.standard_normal(POINTS))
            rows += [{"sample": f"{date}_{n + 1:02d}_{bottom}", "site": f"P{n + 1:02d}", "area": NAME, "date": date,
                      "x_m": x, "y_m": y, "depth_top_cm": top, "depth_bottom_cm": bottom,
                      "salt_g_kg": round(value[n], 3), "land_cover": "cropland"} for n, (x, y) in enumerate(place)]
    salt_samples.write(pd.DataFrame(rows), folder / "salt" / f"{NAME}_salt_samples.csv")


def stations(folder, field, seed):
    """Write daily moisture of a station in each spot, each probe with an offset and a slope of its own."""
    time = field.grown["time"].values
    read = np.stack([np.interp(PROBES, profile.MIDDLES, row) for row in np.eye(len(profile.MIDDLES))], 1)
    true = np.einsum("dl,tls->std", read, field.theta)  # (spot, time, depth)
    rng = stream(seed, "field", "stations")
    size = SPOTS, 1, len(PROBES)
    wet = (true * (1 + 0.03 * rng.standard_normal(size)) + 0.008 * rng.standard_normal(size)
           + 0.003 * rng.standard_normal(true.shape))
    begin = int(rng.integers(250, 400))
    wet[-1, begin : begin + 21] = np.nan  # its battery
    moisture_stations.write(xr.Dataset(
        {"moisture": (("station", "time", "depth"), np.clip(wet, 0.01, 0.6))},
        {"station": [f"{NAME}_{k + 1}" for k in range(SPOTS)], "time": time, "depth": PROBES}),
        folder / "stations" / "uscrn_daily.csv.gz")


def chambers(folder, field, settings, seed):
    """Write fluxes of the chambers, with temperature and moisture of 5 cm beside each."""
    inside = np.flatnonzero(pd.DatetimeIndex(field.hour).year == settings.year)
    rng = stream(seed, "field", "chambers")
    down = np.zeros(field.hour.size, bool)
    for start in rng.integers(inside[0], inside[-1], 3):  # power fails
        down[start : start + int(rng.integers(60, 200))] = True
    rows = []
    for number in range(1, COLLARS + 1):
        at = inside[number % HOURS :: HOURS]
        at = at[~down[at] & (rng.random(at.size) > 0.03)]
        true = field.soil_breath[at] + (field.root_breath[at] if number <= COLLARS // 2 else 0.0)
        scale = 0.06 * np.abs(true) + 0.04
        flux = true * np.exp(0.08 * rng.standard_normal()) + rng.laplace(0, scale / np.sqrt(2))
        rows.append(pd.DataFrame({
            "chamber": number, "time": field.hour[at], "flux": flux.round(3), "flux_se": scale.round(3),
            "r2": np.clip(1 - 0.02 * rng.exponential(size=at.size), 0, 1).round(3),
            "temperature_5cm": (field.warm_hour[at] + 0.2 * rng.standard_normal()).round(2),
            "moisture_5cm": np.clip(field.wet_hour[at] + 0.006 * rng.standard_normal()
                                    + 0.002 * rng.standard_normal(at.size), 0.01, 0.6).round(3)}))
    made = pd.concat(rows, ignore_index=True)
    made.attrs = {"site": NAME, "lon": plot_growth.LON, "lat": plot_growth.LAT, "elevation": 104.0}
    field_sensors.write(made, folder / "soil_respiration" / f"{NAME}.csv.gz")
