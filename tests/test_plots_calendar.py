"""The wall chart of a year: a lane for each quantity, texts that do not overlap, errors in one line."""

import itertools

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib.errors import InputError
from phenolib.plots import calendar as chart

TIME = pd.date_range("2021-01-01", "2021-12-31")


def wave(middle=180.0, width=40.0, high=1.0):
    "A hill in the year."
    day = np.arange(TIME.size)
    return xr.DataArray(high * np.exp(-(((day - middle) / width) ** 2)), {"time": TIME}, ["time"])


@pytest.fixture
def lanes():
    "Four lanes with every style, marks close to one another and two names."
    points = wave(200, 60)[10::45]
    return [
        chart.Lane("Rain", "station", "mm", [chart.Curve(wave() * 20, style="bars")], height=0.5),
        chart.Lane("Leaf", "camera", "1", [chart.Curve(wave(), colour="green", dots=wave()[::9])], [
            chart.Mark("2021-06-01", "2021-05-28", "2021-06-05", "green"), chart.Mark("2021-06-04", text="half green"),
            chart.Mark("2021-06-09", text="full"), chart.Mark("2021-12-30", text="bare"), chart.Mark(pd.NaT),
            chart.Mark("2021-01-03", text="sown")], "green for 100 days"),
        chart.Lane("Water", "probes\nfour", "m3 m-3", [
            chart.Curve(wave(), wave() - 0.1, wave() + 0.1, "below", "navy", "line"),
            chart.Curve(wave(120), label="on top", colour="blue")], [chart.Mark("2021-07-01", text="dry")]),
        chart.Lane("Salt", "samples", "g", [chart.Curve(points, points - 0.1, points + 0.1, "0-30 cm", "purple",
                                                        "points")]),
    ]


def test_every_lane_is_drawn_below_the_other(lanes):
    "There is an axis for each lane, in order, on one calendar, as tall as asked for."
    import matplotlib.pyplot as plt

    fig = chart.calendar(lanes, first="2021-01-01", last="2021-12-31", title="A year", note="n")
    boxes = [ax.get_position() for ax in fig.axes]
    assert len(boxes) == len(lanes)
    assert all(one.y0 > two.y1 for one, two in itertools.pairwise(boxes))
    assert boxes[0].height == pytest.approx(boxes[1].height / 2)
    assert len({ax.get_xlim() for ax in fig.axes}) == 1
    texts = [text.get_text() for ax in fig.axes for text in ax.texts]
    assert {"Leaf", "Jan", "Dec", "green for 100 days", "below", "1 Jun  green"} <= set(texts)
    assert sum("Ja" in text for text in texts) == 2  # the month once, and a date
    plt.close(fig)


def test_no_text_lies_on_another_and_none_is_cut(lanes):
    "Names, instruments, months, dates and titles keep apart and stay on the sheet."
    import matplotlib.pyplot as plt

    fig = chart.calendar(lanes, first="2021-01-01", last="2021-12-31", title="A year of one field", note="two\nlines",
                         spans=[("2021-05-01", "2021-08-31", "below a roof")])
    fig.canvas.draw()
    drawn = fig.canvas.get_renderer()
    texts = [text for ax in fig.axes for text in (*ax.texts, *ax.get_yticklabels()) if text.get_text()] + fig.texts
    boxes = [(text.get_text(), text.get_window_extent(drawn)) for text in texts if text.get_visible()]
    sheet = fig.bbox
    for word, box in boxes:
        assert sheet.x0 <= box.x0 and box.x1 <= sheet.x1 and sheet.y0 <= box.y0 and box.y1 <= sheet.y1, word
    for (one, a), (two, b) in itertools.combinations(boxes, 2):
        assert not a.padded(-0.5).overlaps(b.padded(-0.5)), (one, two)
    plt.close(fig)


def test_gaps_and_empty_curves_are_drawn():
    "A curve with gaps, one without a value and a lane without curves do no harm."
    import matplotlib.pyplot as plt

    holes = wave().where(wave()["time"].dt.month != 6)
    fig = chart.calendar([chart.Lane("A", "a", "1", [chart.Curve(holes, label="x"), chart.Curve(holes * np.nan,
                                                                                                label="y")]),
                          chart.Lane("B", "b", "", [])], first="2021-01-01", last="2021-12-31")
    assert len(fig.axes) == 2
    plt.close(fig)


@pytest.mark.parametrize("given, words", [
    (dict(lanes=[]), "needs a lane"), (dict(last="2020-01-01"), "must lie after"),
    (dict(lanes=[chart.Lane("A", "a", "1", [chart.Curve(wave(), style="ridges")])]), "ridges"),
])
def test_what_makes_no_calendar_is_told(given, words):
    "No lane, no span or an unknown style: one line that says what to do."
    options = {"lanes": [chart.Lane("A", "a", "1", [chart.Curve(wave())])], "first": "2021-01-01",
               "last": "2021-12-31", **given}
    with pytest.raises(InputError, match=words):
        chart.calendar(options.pop("lanes"), **options)
