"""The report's plots, each one inline SVG with a name; its colours are the page's, and each mark says its numbers."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import isfinite
from xml.etree import ElementTree

import altair as alt
import vl_convert
from markupsafe import Markup

from pipelines.state import Json

MOST_POINTS = 80  # of a curve
VEGA_LITE = "6.4"  # of the bundled compiler; altair 6 speaks it

Points = Sequence[Sequence[float]]


def base_rate(calibration: Sequence[Sequence[float]]) -> float:
    """The share of positives in the test slice: what a ranking by chance has for precision; 0 where unknown."""
    bins = _thin(calibration)
    return sum(observed * rows for _, observed, rows in bins) / max(sum(rows for *_, rows in bins), 1)


def curve(points: Points, x: str, y: str, chance: Points) -> Markup:
    """A line through [x, y] points in the unit square."""
    spots = enumerate(_thin(points))
    rows = [{"i": i, "x": a, "y": b, "says": f"{x} {a:.3f}, {y.lower()} {b:.3f}"} for i, (a, b) in spots]
    line = _unit(rows, x, y).mark_line(color="var(--accent)", strokeWidth=2).encode(order="i:Q")
    dots = _unit(rows, x, y).mark_point(color="var(--accent)", filled=True, size=70, opacity=0)
    return _over(chance, [line, dots.encode(description="says:N")], x, y)


def calibration(points: Points) -> Markup:
    """Observed share against mean prediction, one dot a bin; its area says how many rows."""
    x, y = "Mean prediction", "Share observed"
    bins = _thin(points)
    rows = [{"x": p, "y": o, "n": n, "says": f"predicted {p:.3f}, observed {o:.3f}, {n:,} rows"} for p, o, n in bins]
    dots = _unit(rows, x, y).mark_point(color="var(--accent)", filled=True, opacity=0.85)
    size = alt.Size("n:Q", legend=None, scale=alt.Scale(range=[12, 220]))
    return _over([[0, 0], [1, 1]], [dots.encode(size=size, description="says:N")], x, y)


def deciles(points: Points) -> Markup:
    """Mean label against mean prediction, one dot a tenth of the rows; on one scale both ways."""
    bins = _thin(points)
    ends = [v for p, y, _ in bins for v in (p, y)]
    rows = [{"x": p, "y": y, "says": f"predicted {p:.4g}, actual {y:.4g}, {n:,} rows"} for p, y, n in bins]
    low, high = min(ends, default=0), max(ends, default=1)
    scale = alt.Scale(domain=[low, high], nice=True, zero=False)
    x, y = alt.X("x:Q", title="Mean prediction", scale=scale), alt.Y("y:Q", title="Mean label", scale=scale)
    dots = alt.Chart(alt.InlineData(values=rows), width=320, height=300).mark_point(
        color="var(--accent)", filled=True, size=90, opacity=0.85
    )
    line = alt.Chart(alt.InlineData(values=[{"x": low, "y": low}, {"x": high, "y": high}])).mark_line(
        strokeWidth=1, strokeDash=[4, 4]
    )
    dashed = line.encode(x=x, y=y, color=alt.value("var(--muted)"))
    return _svg(alt.layer(dashed, dots.encode(x=x, y=y, description="says:N")), "Mean label by mean prediction")


def histogram(counts: Sequence[int], span: Sequence[float] = (0, 1), of: str = "Predicted probability") -> Markup:
    """Rows in equal bins of a span."""
    low, high = span
    ends = [low + (high - low) * i / len(counts) for i in range(len(counts) + 1)]
    bins, said = zip(pairwise(ends), counts, strict=True), ".2f" if (low, high) == (0, 1) else ".4g"
    rows = [{"x": a, "x2": b, "n": n, "says": f"{a:{said}} to {b:{said}}: {n:,} rows"} for (a, b), n in bins]
    bars = alt.Chart(alt.InlineData(values=rows), width=600, height=260).mark_bar(color="var(--accent)", binSpacing=1)
    x = alt.X("x:Q", title=of, scale=alt.Scale(domain=[low, high]))
    y = alt.Y("n:Q", title="Rows", axis=alt.Axis(format=",d", tickCount=4))
    bars = bars.encode(x=x, x2="x2:Q", y=y, y2=alt.datum(0), description="says:N")
    return _svg(bars, f"Rows by {of.lower()}")


def performance(windows: Sequence[Mapping[str, Json]], label: str) -> Markup:
    """A metric over windows: by known labels with its interval, by estimate, and dashed what both are held against."""
    of = [(w["name"], w["performance"]) for w in windows]
    names = list(dict.fromkeys(name for name, _ in of))
    true = [{"x": x, "y": p["true"][0], "low": p["true"][1], "high": p["true"][2], "says": _found(x, label, p["true"])}
            for x, p in of if p["true"]]  # fmt: skip
    guess = [{"x": x, "y": p["estimated"], "says": f"{x}: {label.lower()} estimated at {p['estimated']:.3f}"}
             for x, p in of if p["estimated"] is not None]  # fmt: skip
    held = [{"x": x, "y": p["before"]} for x, p in of if p["before"] is not None]
    x, y = alt.X("x:N", title=None, sort=names, axis=alt.Axis(labelAngle=-30)), alt.Y("y:Q", title=label)
    y = y.scale(zero=False).axis(tickCount=5, format=".3~g")
    layers = [
        _windows(held, x, y).mark_line(color="var(--muted)", strokeWidth=1, strokeDash=[4, 4]),
        _windows(guess, x, y).mark_line(color="var(--accent)", strokeWidth=1, strokeDash=[2, 3]),
        _windows(true, x, y)
        .mark_rule(color="var(--accent)", strokeWidth=5, opacity=0.3)
        .encode(y="low:Q", y2="high:Q"),
        _windows(true, x, y).mark_line(color="var(--accent)", strokeWidth=2),
        _windows(guess, x, y).mark_point(color="var(--accent)", filled=False, size=60).encode(description="says:N"),
        _windows(true, x, y)
        .mark_point(color="var(--accent)", filled=True, size=60, opacity=1)
        .encode(description="says:N"),
    ]
    return _svg(alt.layer(*layers), f"{label} by window")


def _windows(rows: list[dict[str, Json]], x: alt.X, y: alt.Y) -> alt.Chart:
    return alt.Chart(alt.InlineData(values=rows), width=600, height=260).encode(x=x, y=y)


def _found(name: str, label: str, true: Sequence[float]) -> str:
    return f"{name}: {label.lower()} {true[0]:.4g} ({true[1]:.4g} to {true[2]:.4g})"


def swarm(features: Sequence[Mapping[str, Json]]) -> Markup:
    """Parts of the answer by feature, a dot for each row: dark where the feature's value is high, light where low."""
    names = [each["feature"] for each in features]
    dots = [(each["feature"], i, *point) for each in features for i, point in enumerate(each["points"])]
    rows = [
        {"x": part, "y": name, "at": _apart(i), "of": _shade(place), "says": f"{name}: {part:+.3g}"}
        for name, i, part, place in dots
    ]
    shades = alt.Scale(domain=list(SHADES), range=list(SHADES.values()))
    chart = alt.Chart(alt.InlineData(values=rows), width=600, height=max(120, 34 * len(names))).mark_point(
        filled=True, size=34, opacity=0.85
    )
    encoded = chart.encode(
        x=alt.X("x:Q", title="Part of the answer"),
        y=alt.Y("y:N", title=None, sort=names, axis=alt.Axis(labelLimit=200)),
        yOffset=alt.YOffset("at:Q", scale=alt.Scale(domain=[-1, 1])),
        color=alt.Color("of:N", scale=shades, legend=None),
        description="says:N",
    )
    return _svg(encoded, "Parts of the answer by feature")


SHADES = {"low": "var(--edge)", "high": "var(--accent)", "none": "var(--muted)"}


def _shade(place: float | None) -> str:
    return "none" if place is None else "high" if place > 0.5 else "low"


def _apart(number: int) -> float:
    """Between -0.6 and 0.6, so that dots of one place are seen side by side; the golden ratio spreads any number."""
    return 1.2 * (number * 0.618034 % 1) - 0.6


def _unit(rows: list[dict[str, Json]], x: str, y: str) -> alt.Chart:
    """An empty square plot from 0 to 1 both ways."""
    scale, axis = alt.Scale(domain=[0, 1]), alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], format=".2~f")
    x_axis, y_axis = alt.X("x:Q", title=x, scale=scale, axis=axis), alt.Y("y:Q", title=y, scale=scale, axis=axis)
    chart = alt.Chart(alt.InlineData(values=rows), width=320, height=300)
    return chart.encode(x=x_axis, y=y_axis)


def _over(chance: Points, marks: Sequence[alt.Chart], x: str, y: str) -> Markup:
    """The marks over a dashed line of what no skill would draw."""
    dashed = _unit([{"x": a, "y": b} for a, b in chance], x, y).mark_line(strokeWidth=1, strokeDash=[4, 4])
    return _svg(alt.layer(dashed.encode(color=alt.value("var(--muted)")), *marks), f"{y} by {x.lower()}")


def _thin(points: Points) -> list[Sequence[float]]:
    """At most MOST_POINTS of those that have all their numbers, the first and the last included."""
    whole = [p for p in points if all(n is not None and isfinite(n) for n in p)]
    steps = min(len(whole), MOST_POINTS) - 1
    return [whole[round(i * (len(whole) - 1) / max(steps, 1))] for i in range(steps + 1)]


def _svg(chart: alt.Chart | alt.LayerChart | alt.FacetChart, label: str) -> Markup:
    """The plot as one labelled image: its colours follow the page, and each mark says its numbers in a <title>."""
    fit = alt.AutoSizeParams(type="fit", contains="padding")
    look = chart.configure(autosize=fit, background="transparent").configure_view(stroke=None).configure_axis(
        gridColor="var(--line)", domainColor="var(--line)", tickColor="var(--line)",
        labelColor="var(--muted)", labelFontSize=11, labelFont="inherit",
        titleColor="var(--muted)", titleFontSize=11, titleFont="inherit", titleFontWeight="normal",
    )  # fmt: skip
    svg = ElementTree.fromstring(vl_convert.vegalite_to_svg(look.to_dict(), vl_version=VEGA_LITE))
    for mark in svg.iter():
        mark.tag = mark.tag.rpartition("}")[2]  # HTML knows svg without its namespace
        says = mark.attrib.pop("aria-label", "")
        if mark.attrib.pop("aria-roledescription", "") in ("point", "bar", "circle"):
            ElementTree.SubElement(mark, "title").text = says
    svg.attrib = {"viewBox": svg.attrib["viewBox"], "role": "img", "aria-label": label}
    return Markup(ElementTree.tostring(svg, encoding="unicode"))
