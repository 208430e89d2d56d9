"""Cosmic-ray neutrons: what a probe sees, its soil cores, counts to water, and a network held against point probes."""

import numpy as np

from phenolib import neutron_footprint
from phenolib.plots import COLOURS, nothing

SOILS = {0.05: "#C98B2B", 0.20: "#5AA9C7", 0.40: "#1B4F72"}  # m³ m⁻³, drawn from sand to blue
DISTANCES = "#C6DBEF", "#6BAED6", "#2171B5", "#08306B", "#041B36"  # of cores, near to far
RAIN, SNOW, COUNTED = "#5AA9C7", "#E9ECEF", "#B9BEC6"


def footprint(*, soils=SOILS, bulk_density=1.4, humidity=5.0, reach=300.0, deepest=60.0):
    """Where the neutrons of a probe come from: a section through the ground, by distance, and by depth.

    soils         {moisture [m³ m⁻³]: colour}
    bulk_density  [g cm⁻³]; humidity of the air [g m⁻³]
    reach         [m], and ``deepest`` [cm], that are drawn
    returns       Figure
    """
    import matplotlib.pyplot as plt

    away, z = np.linspace(0.5, reach, 600), np.linspace(0, deepest, 121)
    fig, axes = plt.subplots(1, 3, figsize=(8, 3.3), width_ratios=(1.6, 1, 1), layout="constrained")
    for theta, colour in soils.items():
        deep = 100 * neutron_footprint.depth86(theta, bulk_density, away)
        across, deep = np.r_[-away[::-1], away], np.r_[deep[::-1], deep]
        axes[0].fill_between(across, deep, color=colour, alpha=0.35, lw=0)
        axes[0].plot(across, deep, color=colour, label=f"θ = {theta:.2f} m³ m⁻³")
        weight = neutron_footprint.distance_weights(away, theta, humidity)
        axes[1].plot(away, 100 * np.cumsum(weight) / weight.sum(), color=colour)
        axes[2].plot(np.exp(-2 * z / (100 * neutron_footprint.depth86(theta, bulk_density))), z, color=colour)
    axes[0].plot([0, 0], [0, -4], color="black", lw=2)
    axes[0].plot(0, -5, "s", ms=7, color="black")
    axes[0].axhline(0, color="#6B4F2A", lw=1.2)
    axes[0].set(xlabel="distance from the probe [m]", ylabel="depth [cm]", ylim=(deepest, -9),
                yticks=range(0, int(deepest) + 1, 10))
    axes[1].set(xlabel="distance [m]", ylabel="neutrons from within [%]", ylim=(0, 100), xlim=(0, reach))
    axes[2].set(xlabel="weight [-]", ylabel="depth [cm]", ylim=(deepest, 0), xlim=(0, 1))
    for ax, title in zip(axes, ("86 % come from above", "half come from near by", "near the probe")):
        ax.set_title(title, fontsize=9)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(soils))
    return fig


def cores(table, calibration):
    """Soil cores of each campaign against depth, and the number that each gives.

    table        cores as ``sources.neutron_series.read_cores`` gives them
    calibration  ``neutron_calibration.Calibration`` on them
    returns      Figure
    """
    import matplotlib.pyplot as plt

    count = len(calibration.campaigns)
    fig, axes = plt.subplots(1, count + 1, figsize=(8, 3.4), layout="constrained")
    water = table.assign(theta=table["theta_g"] * table["bulk_density"], cm=100 * table["depth"])
    marks = dict(zip(sorted(water["distance"].unique()), DISTANCES))
    for ax, (when, part), about in zip(axes, water.groupby("time"), calibration.campaigns.itertuples()):
        for near_by, some in part.groupby("distance"):
            ax.plot(some["theta"], some["cm"], "o", ms=3.5, color=marks.get(near_by, DISTANCES[-1]),
                    label=f"{near_by:.0f} m")
        mean = part.groupby("cm")["theta"].mean()
        ax.plot(mean, mean.index, color="black", lw=1.4)
        ax.axvline(about.theta, color=COLOURS["model"], lw=1.4, ls="--")
        ax.set(ylim=(100 * part["depth"].max() * 1.15, 0), xlim=(0, 1.05 * water["theta"].max()), xlabel="θ [m³ m⁻³]")
        ax.set_title(f"{when:%d %b %Y}", fontsize=9)
    axes[0].set(ylabel="depth [cm]")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=6,
               title="distance from the probe", title_fontsize=9)
    for k, about in enumerate(calibration.campaigns.itertuples()):
        axes[-1].errorbar(k, about.n0, [[about.n0 - about.low], [about.high - about.n0]], fmt="o", color="black",
                          capsize=3)
    axes[-1].axhspan(calibration.low, calibration.high, color=COLOURS["model"], alpha=0.2, lw=0)
    axes[-1].axhline(calibration.n0, color=COLOURS["model"])
    axes[-1].set(xlim=(-0.6, count - 0.4), ylabel="N₀ [counts per hour]")
    axes[-1].set_xticks(range(count), [f"{w:%b %Y}" for w in calibration.campaigns["time"]], fontsize=8)
    return fig


def record(daily, found, calibration, *, ends, level=0.9, rain=None, truth=None, snow=None, incoming=None):
    """From counts to water at one probe: counts, factors, and moisture with its band, under the rain.

    daily        dict of (time) DataArrays: raw and corrected counts per hour, factors pressure and vapour
    found        (time) Dataset of ``neutrons.moisture``, one value a day: theta, theta_low, theta_high [m³ m⁻³]
    calibration  ``neutron_calibration.Calibration``
    ends         first and last time that is drawn
    level        of the band
    rain         (time) DataArray [mm] of any step, or None
    truth        (time) DataArray of the days' true moisture, or None; snow (time) bool of the same days
    incoming     (time) DataArray, the rays over their mean, or None where nobody measured them
    returns      Figure
    """
    import matplotlib.pyplot as plt
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    fig, axes = plt.subplots(3, 1, figsize=(8, 5.6), sharex=True, height_ratios=(1.25, 0.9, 2.4), layout="constrained")
    top = max(float(found["theta_high"].quantile(0.99)), calibration.campaigns["theta"].max()) * 1.4
    axes[0].plot(daily["raw"]["time"], daily["raw"], color=COUNTED, lw=0.9, label="neutrons counted")
    axes[0].plot(daily["corrected"]["time"], daily["corrected"], color=COLOURS["camera"], lw=1.2, label="corrected")
    for name, colour in (("pressure", "#7FB3D5"), ("vapour", "#1B4F72")):
        axes[1].plot(daily[name]["time"], daily[name], color=colour, lw=1, label=f"factor of {name}")
    axes[1].axhline(1, color=COLOURS["late"], lw=1, ls="--", label="rays: 1, not measured")
    if incoming is not None:
        axes[1].plot(incoming["time"], incoming, color=COLOURS["late"], lw=0.9, label="rays as they were")
    axes[2].fill_between(found["time"], found["theta_low"], found["theta_high"], alpha=0.3, color=COLOURS["camera"],
                         lw=0, label=f"{level:.0%} of the chance of counting")
    axes[2].plot(found["time"], found["theta"], color=COLOURS["camera"], lw=1.1, label="from neutrons")
    if truth is not None:
        axes[2].plot(truth["time"] + np.timedelta64(24, "h"), truth, color="black", lw=0.8, label="true")
        if snow is not None:
            axes[2].fill_between(truth["time"], 0, top, where=snow, color=SNOW, lw=0, zorder=0, label="snow")
    axes[2].plot(calibration.campaigns["time"], calibration.campaigns["theta"], "D", ms=7, mfc="white",
                 mec=COLOURS["model"], mew=1.8, label="soil cores", zorder=5)
    axes[2].set(ylabel="soil moisture [m³ m⁻³]", ylim=(0, top))
    if rain is not None:
        _rain(axes[2], rain.resample(time="1D").sum())
    axes[0].set(ylabel="per hour", xlim=ends)
    axes[1].set(ylabel="factor [-]")
    dates = AutoDateLocator(maxticks=9)
    axes[2].xaxis.set_major_locator(dates)
    axes[2].xaxis.set_major_formatter(ConciseDateFormatter(dates))
    for ax in axes:
        ax.legend(ncols=6, fontsize=8, loc="lower left", bbox_to_anchor=(0, 0.98), borderaxespad=0.1)
    return fig


def _rain(ax, fallen):
    """Daily rain as bars from the top of a panel."""
    rain, most = ax.twinx(), float(fallen.max())
    rain.bar(fallen["time"].values, fallen.values, width=np.timedelta64(24, "h"), color=RAIN)
    rain.set(ylim=(4.5 * max(most, 1.0), 0), yticks=[])
    rain.annotate(f"rain from the top, up to {most:.0f} mm a day", (1, 1.015), ha="right", va="bottom",
                  xycoords="axes fraction", color="#3E87A3", fontsize=8)
    rain.grid(False)
    for side in ("right", "bottom"):
        rain.spines[side].set_visible(False)


def network(table, daily, *, ways, alpha=None, carbon=None):
    """Neutrons of a network against its point probes, and how far the daily series swings beside the truth.

    table    DataFrame by site: site, days and <way>_sd [m³ m⁻³] for each of ``ways``; may be empty
    daily    Dataset (site, time, probe) with theta, theta_tdt and probe_depth, or None
    ways     three names of columns: at 0.1 m, all probes, weighted
    alpha    (site,) SD of the daily series over that of the truth, or None; with carbon (site,) [g g⁻¹]
    returns  Figure
    """
    import matplotlib.pyplot as plt
    from matplotlib.dates import DateFormatter, MonthLocator
    from matplotlib.ticker import FormatStrFormatter

    fig, axes = plt.subplots(1, 3, figsize=(8, 3.2), width_ratios=(1, 1, 1.2), layout="constrained")
    if len(table):
        each = table[[f"{way}_sd" for way in ways]]
        axes[0].plot(range(3), each.T, "o-", ms=4, lw=0.5, alpha=0.6, color=COLOURS["camera"])
        axes[0].plot(range(3), each.mean(), "_", ms=26, mew=2, color="black")
        axes[0].set_xticks(range(3), ["0.1 m", "all", "weighted"])
        axes[0].set(ylabel="SD of neutrons − probes [m³ m⁻³]", ylim=(0, None))
        pick = table.sort_values("days")["site"].iloc[-1]
        one = daily.sel(site=pick).isel(time=slice(-730, None))
        axes[2].plot(one["time"], one["theta_tdt"].where(one["probe_depth"] == 0.1).mean("probe"),
                     color=COLOURS["radar"], lw=0.9, label="probes at 0.1 m")
        axes[2].plot(one["time"], one["theta"], color=COLOURS["camera"], lw=0.9, label="neutrons")
        axes[2].set(ylabel="θ [m³ m⁻³]", ylim=(0, 1.3 * max(float(one["theta"].max()), 0.3)))
        axes[2].set_title(pick, fontsize=9)
        axes[2].legend(loc="upper left", fontsize=8)
        axes[2].xaxis.set_major_locator(MonthLocator((1, 7)))
        axes[2].xaxis.set_major_formatter(DateFormatter("%b %y"))
    if alpha is not None:
        axes[1].axhline(1, color="#444444", lw=0.7)
        axes[1].plot(100 * np.asarray(carbon), alpha, "o", ms=4, alpha=0.7, color=COLOURS["model"])
        axes[1].set(xlabel="organic carbon [%]", ylabel="SD of the daily θ over the true [-]", xscale="log")
        axes[1].xaxis.set_major_formatter(FormatStrFormatter("%g"))
    for ax, there in zip(axes, (len(table), alpha is not None, len(table))):
        if not there:
            nothing(ax, "not in this archive")
    return fig
