"""Soil carbon from moisture dynamics: dry-downs, features against carbon, scores by route, the circle, the power."""

import numpy as np

from phenolib import carbon_routes, moisture_events, soil_carbon
from phenolib.plots import COLOURS, nothing

ROUTES = {"neutrons": "radar", "counts": "model", "probes": "camera", "truth": "truth"}  # colours
TICKS = (0.3, 1, 3, 10, 30)  # % of carbon


def dry_downs(series, sites, year, *, rain=None, titles=None, marked="probes", words=carbon_routes.ROUTES, width=8.0):
    """A year of moisture at some sites by route, with the dry-downs of one route drawn thick.

    series  {route: (site, time) DataArray [m³ m⁻³]}; counts are not drawn
    sites   their names, one panel each
    year    that is drawn
    rain    (site, time) DataArray [mm d⁻¹], or None
    titles  of the panels; default the names
    marked  route whose dry-downs are drawn
    returns Figure
    """
    import matplotlib.pyplot as plt

    when = slice(f"{year}-01-01", f"{year}-12-31")
    fig, axes = plt.subplots(len(sites), 1, figsize=(width, 2.3 * len(sites)), sharex=True, squeeze=False,
                             layout="constrained")
    for ax, site, title in zip(axes[:, 0], sites, titles or sites):
        for route in (r for r in ("neutrons", "probes") if r in series):
            own = series[route].sel(site=site, time=when)
            ax.plot(own["time"], own, color=COLOURS[ROUTES[route]], lw=0.9, label=words[route])
        one = series[marked].sel(site=[site])
        found = moisture_events.events(one, None if rain is None else rain.sel(site=[site]))
        for k, (_, row) in enumerate(found[found["start"].dt.year == year].iterrows()):
            part = one[0].sel(time=slice(row["start"], row["end"]))
            ax.plot(part["time"], part, color=COLOURS["model"], lw=2.4, label="" if k else "a dry-down")
        ax.set_title(title, fontsize=10)
        ax.set(ylabel="θ [m³ m⁻³]")
    axes[0, 0].legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.1, ncols=3)
    return fig


def against_carbon(rows, moves, colour=None, *, label="", wanted=("tau", "gain", "range", "winter", "memory", "rise"),
                   words=carbon_routes.ROUTES, width=8.0):
    """Carbon against four features, a row of panels for each route, with correlation and partial correlation.

    rows    {route: Rows}; those of ``carbon_routes.ROUTES`` are drawn, probes first
    moves   {route: DataFrame of ``moisture_events.features``}
    colour  Series by site, or None; label of its bar
    wanted  features; the first four that are there
    returns Figure. The title of a panel is red where the partial correlation is negative
    """
    import matplotlib.pyplot as plt

    drawn = [r for r in ("probes", "neutrons", "counts") if r in rows]
    names = [f for f in wanted if f in rows[drawn[0]].values][:4]
    fig, axes = plt.subplots(len(drawn), len(names), figsize=(width, 0.6 + 2.15 * len(drawn)), sharey=True,
                             squeeze=False, layout="constrained")
    for row, route in zip(axes, drawn):
        one, links = rows[route], soil_carbon.links(rows[route])
        for ax, f in zip(row, names):
            sites = one.values.index
            shade = dict(color=COLOURS["camera"]) if colour is None else dict(c=colour.reindex(sites), cmap="cividis")
            dots = ax.scatter(moves[route][f].reindex(sites), 100 * np.exp(one.target), s=13, **shade)
            r, partial = links.loc[f]
            ax.set_title(f"r {r:+.2f}, partial {partial:+.2f}".replace("-", "−"), fontsize=8.5, fontweight="normal",
                         color=COLOURS["late" if partial < 0 else "early"])
            unit = moisture_events.FEATURES[f][0].replace("m3 m-3 mm-1", "mm⁻¹").replace("m3 m-3", "m³ m⁻³")
            ax.set_xlabel(f"{f} [{unit.replace('m³ m⁻³', '-') if route == 'counts' else unit}]", fontsize=8.5)
            ax.set(yscale="log")
            ax.set_yticks(TICKS, [f"{t:g}" for t in TICKS])
            ax.minorticks_off()
            ax.locator_params(axis="x", nbins=4)
            ax.set_ylim(80 * np.exp(one.target.min()), 125 * np.exp(one.target.max()))
        row[0].set_ylabel(f"{words[route]}\ncarbon [%]", fontsize=9)
    for column in axes[[r != "counts" for r in drawn]].T:  # one scale where it is one quantity
        ends = np.array([ax.get_xlim() for ax in column])
        for ax in column:
            ax.set_xlim(ends.min(), ends.max())
    if colour is not None:
        fig.colorbar(dots, ax=axes, shrink=0.5, label=label)
    return fig


def sets(tables, *, words=carbon_routes.ROUTES, lowest=-0.75, width=8.0):
    """R² of each set of columns by route; sites left out filled, regions left out open.

    tables  {route: DataFrame by (hold, set) with r2, r2_low, r2_high}
    lowest  end of the axis
    returns Figure
    """
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, len(tables), figsize=(width, 3.3), sharey=True, sharex=True, squeeze=False,
                             layout="constrained")
    for ax, (route, table) in zip(axes[0], tables.items()):
        names = [n for n in soil_carbon.NAMES if ("site", n) in table.index]
        for hold, aside, face in (("site", -0.13, COLOURS["model"]), ("region", 0.13, "white")):
            for k, name in enumerate(names):
                if (hold, name) in table.index:
                    r = table.loc[(hold, name)]
                    ax.plot([r["r2_low"], r["r2_high"]], [k + aside] * 2, color=COLOURS["model"], lw=1)
                    ax.plot(r["r2"], k + aside, "o", ms=5, mfc=face, color=COLOURS["model"])
        ax.axvline(0, color=COLOURS["quiet"], lw=0.8)
        ax.set(xlabel="R² [-]", xlim=(lowest, 1))
        ax.set_title(words[route].replace(", ", ",\n"), fontsize=9.5)
        ax.grid(axis="x")
    axes[0, 0].set(yticks=range(len(names)), yticklabels=[soil_carbon.WORDS[n] for n in names])
    axes[0, 0].invert_yaxis()
    return fig


def circle(table, ratio=None, change=None, *, width=8.0):
    """What shuffled metadata do: R² of the wrong carbon, and how a feature follows what was put in.

    table   DataFrame of ``carbon_routes.shuffled``; empty: the figure says that there are no counts
    ratio   (site,) a feature computed with another carbon, over the same with the own
    change  (site,) carbon put in over carbon of the site
    returns Figure
    """
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, 2, figsize=(width, 3.2), width_ratios=(1, 1.2), layout="constrained")
    names = [c for c in carbon_routes.CHANGES if c in set(table["change"])]
    if not names:
        for ax in axes:
            nothing(ax, "no neutron counts")
        return fig
    kinds = {"before": ("by chance", "quiet"), "r2": ("wrong carbon", "late"), "follows": ("its change", "radar")}
    for k, name in enumerate(names):
        own = table[table["change"] == name]
        for aside, (what, (label, colour)) in zip((-0.18, 0, 0.18), kinds.items()):
            axes[0].plot(own[what], np.full(len(own), k + aside), "o", ms=4, alpha=0.8, color=COLOURS[colour],
                         label=None if k else label)
    axes[0].set(yticks=range(len(names)), yticklabels=[carbon_routes.CHANGES[c].replace(", ", ",\n") for c in names],
                xlabel="R² [-]")
    axes[0].axvline(0, color=COLOURS["quiet"], lw=0.8)
    axes[0].invert_yaxis()
    axes[0].legend(loc="upper center", bbox_to_anchor=(0.4, -0.2), ncols=3, fontsize=8, handletextpad=0.2)
    if ratio is not None:
        axes[1].plot(change, ratio, "o", ms=4, color=COLOURS["radar"])
        axes[1].axhline(1, color=COLOURS["quiet"], lw=0.8)
        axes[1].set(xscale="log", xlabel="carbon put in / carbon of the site [-]", ylabel="range, new / old [-]")
    return fig


def power(chance, curves, *, alpha=0.05, width=8.0):
    """The gain among those of chance, and the share of draws of sites in which it is found.

    chance  Gain of ``soil_carbon.permutation``
    curves  {label: (DataFrame of ``soil_carbon.power``, name of a colour)}; false alarms are those of the first
    alpha   drawn as a line
    returns Figure
    """
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, 2, figsize=(width, 3.3), width_ratios=(1, 1.3), layout="constrained")
    axes[0].hist(chance.null, bins=25, color=COLOURS["quiet"])
    axes[0].axvline(chance.value, color=COLOURS["model"], lw=2)
    axes[0].set(xlabel="gain in R² over climate and texture [-]", ylabel="permutations")
    for label, (table, colour) in curves.items():
        axes[1].fill_between(table["sites"], table["power_low"], table["power_high"], color=COLOURS[colour], alpha=0.15,
                             lw=0)
        axes[1].plot(table["sites"], table["power"], "o-", ms=4, color=COLOURS[colour], label=label)
    first = next(iter(curves.values()))[0]
    axes[1].plot(first["sites"], first["false"], "o--", ms=3, color=COLOURS["quiet"], label="false alarms")
    axes[1].axhline(alpha, color=COLOURS["quiet"], lw=0.8)
    axes[1].set(xlabel="sites", ylabel=f"share found with p ≤ {alpha:g} [-]", ylim=(0, 1.03))
    axes[1].legend(loc="center right", fontsize=8)
    return fig
