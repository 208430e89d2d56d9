"""Pictures of respiration: predicted against observed, learned responses on the classical ones, incubations."""

import numpy as np

from phenolib import responses
from phenolib.breath_models import NAMES, NETWORKS
from phenolib.errors import InputError
from phenolib.plots import COLOURS, nothing

FLUX = "µmol m$^{-2}$ s$^{-1}$"
CURVES = {  # name: colour, line
    "JULES": ("camera", "--"), "JULES, Q10": ("camera", "--"), "JULES, RothC": ("optical", "-."),
    "Lloyd-Taylor": ("radar", ":"), "learned": ("model", "-"), "true": ("truth", "-")}


def observed_predicted(found, models, *, sites=None, columns=3, bins=40, width=8.0):
    """Fluxes observed and predicted in periods that no model has seen, a panel for each model.

    found    ``breath_models.Comparison``
    models   names of its models
    sites    names; None for all that every one of these models speaks of
    columns  of panels
    bins     hexagons along the axis
    returns  Figure; a hexagon is the darker, the more rows are in it (logarithmic)
    raises   InputError if there is no row of which all models speak
    """
    import matplotlib.pyplot as plt

    rows = found.rows if sites is None else found.rows[found.rows["site"].isin(sites)]
    rows = rows[rows[list(models)].notna().all(axis=1)]
    if rows.empty:
        raise InputError(f"no row has a prediction of all of {', '.join(models)}; leave some out")
    low, high = np.quantile(rows["flux"], [0.001, 0.999])
    low = min(low, 0.0)
    lines = -(-len(models) // columns)
    fig, axes = plt.subplots(lines, columns, figsize=(width, 0.3 + width / columns * lines), sharex=True, sharey=True,
                             squeeze=False, layout="constrained")
    image = None
    for ax, name in zip(axes.flat, models):
        x, y = rows[name].to_numpy(), rows["flux"].to_numpy()
        image = ax.hexbin(x, y, gridsize=bins, bins="log", mincnt=1, cmap="Oranges", extent=(low, high, low, high),
                          linewidths=0.1)
        image.set_clim(0.6, None)
        ax.plot([low, high], [low, high], color=COLOURS["truth"], lw=0.9)
        away = np.sqrt(np.mean((x - y) ** 2))
        ax.set_title(NAMES.get(name, name), fontsize=10)
        ax.text(0.04, 0.96, f"RMSE {away:.2f}\nR² {1 - away**2 / y.var():.2f}", transform=ax.transAxes, va="top",
                fontsize=8.5)
        ax.set(xlim=(low, high), ylim=(low, high), aspect="equal")
        ax.grid(False)
    for ax in axes.flat[len(models):]:
        ax.set_visible(False)
    fig.supxlabel(f"predicted [{FLUX}]", fontsize=10)
    fig.supylabel(f"observed [{FLUX}]", fontsize=10)
    fig.colorbar(image, ax=axes, label="rows in a hexagon", shrink=0.6, pad=0.01)
    return fig


def response_rows(regions, *, rug=True, width=8.0):
    """Learned responses over the classical ones, a row of two panels for each region.

    regions  name → dict of s, f (grid, and (mean, low, high)), temperature, g (alike), wilting (s_w, for the curve of
             JULES), and if known true_f, true_g (grid), seen_s, seen_t (values of the rows, for the marks below)
    rug      marks of what the data hold
    returns  Figure; the curves are scaled as the learned ones are: a largest f of 1, g = 1 at 10 °C
    """
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(len(regions), 2, figsize=(width, 0.5 + 2.4 * len(regions)), squeeze=False,
                             sharex="col", layout="constrained")
    for k, (name, one) in enumerate(regions.items()):
        left, right = axes[k]
        _band(left, one["s"], one["f"], "learned")
        _line(left, one["s"], responses.jules_moisture(one["s"], 1.0, one["wilting"]), "JULES")
        _band(right, one["temperature"], one["g"], "learned")
        for label, curve in classical().items():
            _line(right, one["temperature"], curve(one["temperature"]), label)
        for ax, x, key in ((left, "s", "true_f"), (right, "temperature", "true_g")):
            if one.get(key) is not None:
                _line(ax, one[x], one[key], "true")
        if rug:
            for ax, key in ((left, "seen_s"), (right, "seen_t")):
                if one.get(key) is not None:
                    _rug(ax, one[key])
        left.set(ylim=(0, 1.25), ylabel="f [-]")
        top = np.nanmax(one["g"][0]) if np.isfinite(one["g"][0]).any() else 3.0
        right.set(ylim=(0, 1.35 * max(top, 1.5)), ylabel="g [-]")
        left.set_title(name, fontsize=10)
    axes[-1, 0].set_xlabel("share of the pores with water, θ/θ$_{sat}$ [-]")
    axes[-1, 1].set_xlabel("soil temperature [°C]")
    handles = {}
    for ax in axes.flat:
        handles |= dict(zip(*ax.get_legend_handles_labels()[::-1]))
    handles.pop("JULES", None)  # drawn as that of Q10, in the panels of moisture
    words = {"JULES, Q10": "JULES f, and g by Q10", "JULES, RothC": "g of RothC", "Lloyd-Taylor": "g of Lloyd-Taylor"}
    fig.legend(handles.values(), [words.get(name, name) for name in handles], loc="outside upper center", ncols=5)
    return fig


def classical(reference=10.0):
    """The temperature responses that others use, as functions that are 1 at a reference [°C]: name → function."""
    return {label: (lambda t, c=curve: c(t) / c(reference)) for label, curve in (
        ("JULES, Q10", responses.q10), ("JULES, RothC", responses.rothc), ("Lloyd-Taylor", responses.lloyd_taylor))}


def surface(axes, s, temperature, flux, *, seen=None, title="", limits=None):
    """Respiration over moisture and temperature, where there are data.

    axes         matplotlib axes
    s            (x,) relative moisture [-]
    temperature  (y,) [°C]
    flux         (y, x) respiration relative to any one [-], NaN where nothing is said
    seen         (s, temperature) of the rows; what is farther than a tenth of the range from all of them is left white
    limits       of the colours
    returns      the image
    """
    from scipy.spatial import cKDTree

    shown = np.array(flux, float)
    if seen is not None:
        grid = np.stack(np.meshgrid(s, temperature), -1).reshape(-1, 2)
        span = np.array([np.ptp(s), np.ptp(temperature)])
        known = np.stack([np.asarray(v, float) for v in seen], 1)
        far = cKDTree(known / span).query(grid / span)[0].reshape(shown.shape)
        shown[far > 0.1] = np.nan
    low, high = limits or (np.nanmin(shown), np.nanmax(shown))
    image = axes.pcolormesh(s, temperature, shown, cmap="YlOrBr", vmin=low, vmax=high, shading="gouraud"
                            if np.isfinite(shown).all() else "nearest", rasterized=True)
    axes.set(xlabel="θ/θ$_{sat}$ [-]")
    axes.set_title(title, fontsize=10)
    axes.grid(False)
    return image


def site_scores(axes, found, models, *, statistic="r2", label="R² in unseen periods [-]", least=-0.4):
    """A score of each model at each site with its interval.

    axes       matplotlib axes
    found      ``breath_models.Comparison``
    models     names
    statistic  "r2", "rmse" or "bias"
    label      of the axis; sites and models without a score are left out
    least      where the axis begins; what is below stands at it as an arrow

    Squares are networks, diamonds networks with a term for plants.
    """
    colours = ["quiet", "radar", "camera", "optical", "clock", "model", "late", "early"]
    known = found.table["n"].unstack("model").reindex(columns=list(models), index=found.winners.index) > 0
    names, models = known.index[known.any(axis=1)], [m for m in models if known[m].any()]
    if not len(names):
        return nothing(axes, "no site has a score")
    for k, name in enumerate(models):
        part = found.table.xs(name, level="model").reindex(names)
        away = (k - (len(models) - 1) / 2) * 0.8 / len(models)
        place = np.arange(len(names)) + away
        value = part[statistic].to_numpy(float)
        colour = COLOURS[colours[k % len(colours)]]
        out, mark = value < least, "D" if name.endswith("_plants") else "s" if name in NETWORKS else "o"
        axes.vlines(place, part[f"{statistic}_low"].clip(lower=least), part[f"{statistic}_high"].clip(lower=least),
                    color=colour, lw=1)
        axes.plot(place[~out], value[~out], mark, ms=3.5, color=colour, label=NAMES.get(name, name))
        axes.plot(place[out], np.full(out.sum(), least), "v", ms=4, color=colour)
    for k in range(len(names) - 1):
        axes.axvline(k + 0.5, color="#E4E6EA", lw=0.8)
    crowded = len(names) * max(len(str(name)) for name in names) > 80  # letters that fit side by side
    axes.set_xticks(range(len(names)), names, rotation=30 if crowded else 0, ha="right" if crowded else "center",
                    fontsize=8)
    axes.set(xlim=(-0.5, len(names) - 0.5), ylabel=label)
    if statistic == "r2":
        axes.set_ylim(least - 0.05, 1)
        axes.axhline(0, color=COLOURS["truth"], lw=0.7)


def q10_studies(axes, found, *, curves=None, span=4.0):
    """Q10 of incubations over the middle of their temperatures, on the Q10 of temperature responses.

    axes    matplotlib axes
    found   DataFrame of ``breath_incubations.temperature``
    curves  name → function of °C; None: ``classical``
    span    over which the Q10 of a curve is told [K]
    """
    whole = found.dropna(subset=["q10"])
    t = np.linspace(max(whole["cold"].min(), -5), whole["warm"].max(), 150)
    for label, curve in (classical() if curves is None else curves).items():
        _line(axes, t, responses.sensitivity(curve, t, span=span), label)
    axes.hlines(whole["q10"], whole["cold"], whole["warm"], color=COLOURS["quiet"], lw=0.6, alpha=0.6)
    axes.vlines(whole["middle"], whole["low"], whole["high"], color=COLOURS["truth"], lw=1)
    axes.plot(whole["middle"], whole["q10"], "o", ms=4, color=COLOURS["truth"], label="incubations, one each study")
    axes.set(xlabel="temperature [°C]", ylabel="Q$_{10}$ [-]", ylim=(0.8, 6))
    axes.legend(fontsize=8)


def wet_studies(axes, found, *, kind="pore space", wilting=0.3):
    """Moisture responses of incubations; on the curve of JULES where moisture is a share of the pores.

    axes     matplotlib axes
    found    DataFrame of ``breath_incubations.moisture``
    kind     what moisture is a share of
    wilting  s_w of the curve of JULES [-]
    """
    some = found[found["moisture_of"] == kind]
    if some.empty:
        return nothing(axes, f"no study by {kind}")
    for k, (study, part) in enumerate(some.groupby("study")):
        colour = COLOURS[("truth", "clock", "late")[k % 3]]
        axes.vlines(part["moisture"], part["low"], part["high"], color=colour, lw=1)
        axes.plot(part["moisture"], part["relative"], "o-", ms=4, lw=0.8, color=colour, label=study)
    if kind == "pore space":
        s = np.linspace(0, 1, 100)
        _line(axes, s, responses.jules_moisture(s, 1.0, wilting), "JULES")
    axes.set(xlabel=f"moisture, share of the {kind} [-]", ylabel="rate over the best [-]", ylim=(0, 1.3))
    axes.legend(fontsize=8)


def _band(axes, x, curve, name):
    mean, low, high = curve
    colour = COLOURS[CURVES[name][0]]
    axes.fill_between(x, low, high, color=colour, alpha=0.22, lw=0)
    axes.plot(x, mean, color=colour, lw=2, label=name)


def _line(axes, x, y, name):
    colour, style = CURVES.get(name, ("clock", "-"))
    axes.plot(x, y, style, color=COLOURS[colour], lw=1.3, label=name)


def _rug(axes, values):
    low, high = np.nanquantile(values, [0.05, 0.95])
    axes.plot([low, high], [0.03, 0.03], color=COLOURS["quiet"], lw=4, solid_capstyle="butt",
              transform=axes.get_xaxis_transform())
    inner = np.nanquantile(values, [0.25, 0.75])
    axes.plot(inner, [0.03, 0.03], color="#444444", lw=4, solid_capstyle="butt", transform=axes.get_xaxis_transform())
