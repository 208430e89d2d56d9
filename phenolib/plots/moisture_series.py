"""Figures of soil moisture through time at the sites of a network: one site, seasons and events, scores by part."""

import numpy as np
import pandas as pd

from phenolib.errors import InputError, near
from phenolib.plots import COLOURS, nothing
from phenolib.plots.effects import MARKS
from phenolib.plots.moisture import LAYER, day_words, hang_rain, months

MODELS = {  # who said it: (colour, line, words)
    "start": (COLOURS["camera"], (0, (4, 1.5)), "first guess"),
    "climatology": (COLOURS["quiet"], (0, (1, 1.5)), "climatology"),
    "ridge": (COLOURS["optical"], "-", "ridge on lags"), "trees": ("#7FB800", "-", "LightGBM on lags"),
    "bucket": ("#4BA3D9", "-", "bucket"),
    "own_bucket": ("#0B3C6F", "-", "bucket of each site"), "layers": (COLOURS["radar"], "-", "two layers"),
    "lstm": (COLOURS["clock"], "-", "LSTM"), "network": (COLOURS["model"], "-", "network"),
    "hybrid": (COLOURS["late"], "-", "network on two layers"),
}
SHADES = {"train": "#EEF1F5", "validation": "#FBF3D5", "test": "#E2F0E4"}  # of the time that belongs to a part
PARTS = {"train": "training", "validation": "validation", "years": "unseen years", "sites": "unseen sites",
         "both": "unseen sites in\nunseen years", "drought": "drought year", "random": "days at random"}
PROBE = "#B79CC4"  # paler than radar's purple: many thin lines


def site_record(series, said, site, parts, *, probes=None, truth=None, level=0.9, zoom=None, name="", width=8.0):
    """One site through all years and, below, a stretch of them: first guess, probes, neutrons and network.

    series  ``moisture_series.Series``
    said    Dataset theta, sigma (site, time) of the network
    site    which one
    parts   ``moisture_series.Parts``: time is shaded by the part it belongs to
    probes  (time, probe) DataArray of the point probes [m³ m⁻³], in the lower axes; None: without
    truth   (time,) DataArray, in the lower axes; None: without
    level   of the band, of a normal error
    zoom    (first, last) day of the lower axes; None: the last 365 days with an observation
    name    for the title; default the site
    returns figure
    raises  InputError for an unknown site
    """
    import matplotlib.pyplot as plt
    from matplotlib.patches import Patch

    names = [str(n) for n in series.theta["site"].values]
    if site not in names:
        raise InputError(f"site '{site}' is not in the series{near(site, names)}")
    theta = series.theta.sel(site=site)
    if zoom is None:
        last = theta["time"].values[theta.notnull().values][-1:]
        last = pd.Timestamp(last[0] if last.size else theta["time"].values[-1])
        zoom = last - pd.Timedelta(364, "D"), last
    figure, axes = plt.subplots(3, 1, figsize=(width, 6.2), height_ratios=(0.55, 2, 2))
    rain = series.weather.sel(site=site, variable="precip")
    monthly = rain.to_series().resample("MS").sum()
    axes[0].bar(monthly.index + pd.Timedelta(15, "D"), monthly, width=24, color=LAYER["rain"], lw=0)
    axes[0].set(ylabel="rain [mm\nper month]", xlim=(theta["time"].values[0], theta["time"].values[-1]), xticklabels=[])
    axes[0].set_title(name or site)
    shown = [part for part in ("train", "validation", "test") if _stretches(parts, site, part)]
    _draw(axes[1], series, said, site, None, None, level, None, small=True)
    _draw(axes[2], series, said, site, probes, truth, level, zoom)
    axes[1].set(xlim=axes[0].get_xlim())
    axes[2].set_title(f"from {day_words(zoom[0])} to {day_words(zoom[1])}", fontsize=10)
    axes[2].set(xlim=(pd.Timestamp(zoom[0]), pd.Timestamp(zoom[1])))
    low, high = axes[2].get_ylim()
    axes[2].set_ylim(low, high + 0.22 * (high - low))
    twin = hang_rain(axes[2], rain.sel(time=slice(*zoom)), share=0.2)  # lies behind, and the shades with it
    for part in shown:
        for first, end in _stretches(parts, site, part):
            for ax in (axes[1], twin):
                ax.axvspan(first, end, color=SHADES[part], lw=0, zorder=-1)
    for ax in axes[1:]:
        ax.set_ylabel("soil moisture [m³ m⁻³]")
        months(ax)
    marks, labels = axes[2].get_legend_handles_labels()
    marks += [Patch(facecolor=SHADES[p], edgecolor="#C9CCD1", lw=0.6) for p in shown]
    figure.legend(marks, labels + [{"train": "training", "validation": "validation", "test": "test"}[p] for p in shown],
                  loc="outside lower center", ncols=4, fontsize=8.5, handlelength=2.0, markerscale=2)
    return figure


def dynamics(series, said, sites, *, year, others=None, truth=None, level=0.9, event=(20, 40), width=8.0):
    """A year at several sites and, beside it, the weeks around its largest rise, with rain from above.

    series   ``moisture_series.Series``
    said     Dataset theta, sigma (site, time) of the network
    sites    names, or {name: words for the title}
    year     that is shown
    others   {model of ``MODELS``: (site, time) DataArray} that are drawn with it; None: the first guess alone
    truth    (site, time) DataArray; None: without
    event    days before and after the largest rise of what was observed within the year
    returns  figure
    """
    import matplotlib.pyplot as plt

    words = sites if isinstance(sites, dict) else {site: site for site in sites}
    others = {"start": series.start} if others is None else others
    figure, axes = plt.subplots(len(words), 2, figsize=(width, 1.75 * len(words) + 0.5), squeeze=False,
                                width_ratios=(1.9, 1), sharey="row")
    span = pd.Timestamp(f"{year}-01-01"), pd.Timestamp(f"{year}-12-31")
    for row, (site, title) in zip(axes, words.items()):
        theta = series.theta.sel(site=site, time=slice(*span))
        rain = series.weather.sel(site=site, variable="precip")
        turn = largest_rise(theta)
        near_by = None if turn is None else (max(turn - pd.Timedelta(event[0], "D"), span[0]),
                                             min(turn + pd.Timedelta(event[1], "D"), span[1]))
        for ax, when in zip(row, (span, near_by)):
            if when is None:
                nothing(ax, "nothing observed in this year")
                continue
            _draw(ax, series, said, site, None, truth.sel(site=site) if truth is not None else None, level, when,
                  others=others, small=when is span)
            ax.set_xlim(*when)
            months(ax)
            ax.xaxis.get_offset_text().set_visible(False)
        low, high = row[0].get_ylim()
        row[0].set_ylim(low, high + 0.3 * (high - low))
        for ax, when in zip(row, (span, near_by)):
            if when is not None:
                twin = hang_rain(ax, rain.sel(time=slice(*when)), share=0.24)
                twin.set_ylabel("")
                ax.tick_params(axis="y", labelleft=ax is row[0])
        row[0].set_title(title, fontsize=10)
        if near_by is not None:
            row[1].set_title(f"around {day_words(turn)}", fontsize=10, fontweight="normal")
    figure.supylabel("soil moisture [m³ m⁻³]   (bars: rain [mm d⁻¹], scale at the right)", fontsize=9.5)
    marks, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(marks, labels, loc="outside lower center", ncols=5, fontsize=8.5, markerscale=3)
    return figure


def largest_rise(theta, *, days=4):
    """The day in the middle of the largest rise of a series within some days; None without two values.

    theta  (time,) DataArray with NaN, e.g. of one year
    days   that a rise may take
    """
    values = theta.to_series().interpolate(limit=3)
    smooth = values.rolling(3, center=True, min_periods=1).mean()
    rise = smooth.shift(-days // 2) - smooth.shift(days // 2)
    return None if rise.isna().all() else rise.idxmax()


def model_scores(tables, statistic, *, label, axes=None, models=None, limits=None, ideal=None):
    """A statistic of each model, in a group for each part, with intervals.

    tables     {part of ``PARTS``: DataFrame of ``moisture_scores.compare``}
    statistic  of ``moisture_scores.STATISTICS``
    label      of the y axis, with its unit
    axes       matplotlib axes; None: a new figure
    models     that are shown, in their order; default those of the first table
    limits     of the y axis; None: by the values
    ideal      value that is drawn as a line; None: without
    returns    axes
    raises     InputError for a statistic that no table has, or an unknown model or part
    """
    import matplotlib.pyplot as plt

    if not tables:
        raise InputError("there is no table of scores to draw; give {part: table}")
    first = next(iter(tables.values()))
    if statistic not in first:
        raise InputError(f"the tables of scores have no column '{statistic}'{near(statistic, first.columns)}")
    models = list(first.index) if models is None else list(models)
    for name, known in [*((m, MODELS) for m in models), *((p, PARTS) for p in tables)]:
        if name not in known:
            raise InputError(f"'{name}' has no colour or words in this figure{near(name, known)}")
    if axes is None:
        _, axes = plt.subplots(figsize=(8, 3.4))
    step = 0.78 / len(models)
    for k, model in enumerate(models):
        rows = pd.DataFrame([table.loc[model] if model in table.index else pd.Series(dtype=float)
                             for table in tables.values()])
        value, low, high = (rows[c].to_numpy(float) for c in (statistic, f"{statistic}_low", f"{statistic}_high"))
        place = np.arange(len(tables)) + (k - (len(models) - 1) / 2) * step
        error = np.nan_to_num(np.abs(np.stack([value - low, high - value])))
        colour, _, words = MODELS[model]
        axes.errorbar(place, value, error, fmt=MARKS[k % len(MARKS)], ms=5.5, lw=1.4, color=colour, label=words,
                      zorder=3)
    if ideal is not None:
        axes.axhline(ideal, color=COLOURS["quiet"], lw=1, ls=":", zorder=1)
    for edge in range(1, len(tables)):
        axes.axvline(edge - 0.5, color="#E4E6EA", lw=0.8, zorder=0)
    axes.set(xticks=range(len(tables)), xticklabels=[PARTS[p] for p in tables], ylabel=label,
             xlim=(-0.5, len(tables) - 0.5))
    if limits is not None:
        axes.set_ylim(*limits)
    axes.tick_params(axis="x", length=0)
    return axes


def _draw(ax, series, said, site, probes, truth, level, span, *, others=None, small=False):
    """The series of one site: what was observed as dots, models as lines, the band of the network."""
    from scipy.stats import norm

    span = slice(None) if span is None else slice(*(pd.Timestamp(d) for d in span))
    theta = series.theta.sel(site=site, time=span)
    time = theta["time"].values
    if probes is not None:
        for k, probe in enumerate(probes["probe"].values):
            own = probes.sel(probe=probe, time=span)
            ax.plot(own["time"], own, color=PROBE, lw=0.7, zorder=1.5, label="point probes" if k == 0 else None)
    for model, values in ({"start": series.start} if others is None else others).items():
        colour, line, words = MODELS[model]
        ax.plot(time, values.sel(site=site, time=span), color=colour, ls=line, lw=0.9 if small else 1.2, zorder=2,
                label=words)
    mean, sigma = said["theta"].sel(site=site, time=span), said["sigma"].sel(site=site, time=span)
    wide = norm.ppf((1 + level) / 2) * sigma
    ax.fill_between(time, mean - wide, mean + wide, color=MODELS["network"][0], alpha=0.22, lw=0, zorder=2.2)
    ax.plot(time, mean, color=MODELS["network"][0], lw=0.9 if small else 1.6, zorder=3,
            label=f"network, {level:.0%} band")
    if truth is not None:
        own = truth.sel(time=slice(time[0], time[-1]))
        ax.plot(own["time"], own, color=COLOURS["truth"], lw=0.6 if small else 1.0, zorder=3.2, label="truth")
    ax.plot(time, theta, ".", color=COLOURS["observation"], ms=1.9 if small else 3.2, alpha=0.5 if small else 0.75,
            zorder=2.8, label="mean of probes" if "probes" in theta.attrs.get("long_name", "") else "neutrons",
            markeredgewidth=0)


def _stretches(parts, site, part):
    """(first, last) of each stretch of time of a site that belongs to a part; test: known or unseen."""
    chosen = [getattr(parts, n).sel(site=site) for n in (("years", "both", "sites") if part == "test" else (part,))]
    inside = np.any([c.values for c in chosen], 0)
    time = pd.DatetimeIndex(chosen[0]["time"].values)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], inside.astype(int), [0]])))
    return [(time[a], time[b - 1] + pd.Timedelta(1, "D")) for a, b in zip(edges[::2], edges[1::2])]
