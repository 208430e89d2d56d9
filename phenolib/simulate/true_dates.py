"""True dates of a noise-free curve, and the tables in which an archive keeps its truth."""

import csv
import io
import itertools

import numpy as np

from phenolib import agreement

SHARES = (5, 10, 20, 25, 30, 40, 50, 60, 70, 75, 80, 90)  # per cent of the amplitude at which the truth is kept


def share_dates(time, curve, spans, shares, least):
    """Share dates of a noise-free curve: each side of a season from its own minimum.

    time     (time,) datetime64, daily
    curve    (time,)
    spans    list of (crop, season, first, last), as ``landscape.windows`` gives it: each holds one peak
    shares   of the amplitude, per cent
    least    amplitude above the higher of both minima that makes a season
    returns  list of dict: crop, season, direction, share, date
    """
    peaks = [first + int(np.argmax(curve[first : last + 1])) for _, _, first, last in spans]
    kept = [(span, peak) for span, peak in zip(spans, peaks) if 0 < peak < curve.size - 1]
    while True:  # a growth that is no season of its own leaves its place to its neighbours
        peaks = [peak for _, peak in kept]
        edges = [a + int(np.argmin(curve[a : b + 1])) for a, b in itertools.pairwise([0, *peaks, curve.size - 1])]
        rise = [curve[peak] - max(curve[a], curve[b]) for peak, a, b in zip(peaks, edges, edges[1:])]
        if not kept or min(rise) >= least:
            break
        del kept[int(np.argmin(rise))]
    rows = []
    for ((crop, season, _, _), _), a, b in zip(kept, edges, edges[1:]):
        peak = a + int(np.argmax(curve[a : b + 1]))
        for direction, base in (("rising", a), ("falling", b)):
            rows += [{"crop": crop, "season": season, "direction": direction, "share": share,
                      "date": agreement.crossing(time, curve, base, peak, share / 100)} for share in shares]
    return [row for row in rows if not np.isnat(row["date"])]


def table(rows, columns):
    """Rows as CSV text."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
