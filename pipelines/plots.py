"""The report's plots, each one inline SVG with a name; its colours are the page's, and each mark says its numbers."""

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from math import floor, isfinite, log10
from typing import cast
from xml.etree import ElementTree

import altair as alt
import vl_convert
from markupsafe import Markup

from pipelines.state import Json

MOST_POINTS = 80  # of a curve
MOST_MOMENTS = 400  # of a line without dots
EPOCHS = alt.Axis(format="d", tickMinStep=1, grid=False)
STEEP = 100.0  # a loss that falls to less than this part of itself is drawn on a logarithmic scale
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


def losses(epochs: Sequence[Mapping[str, Json]], ailments: Sequence[Mapping[str, Json]]) -> Markup:
    """Of a training by epoch: rows that train, pale within an epoch; dashed, rows kept out; since when a rule spoke."""
    mean, held = ([(i, e[name]) for i, e in enumerate(epochs, 1)] for name in ("loss", "held_loss"))
    within = [at for i, e in enumerate(epochs) for at in _within(i, e.get("course") or ())]
    drawn = [y for points in (mean, held, within) for _, y in _thin(points)]
    steep = min(drawn, default=0) > 0 and max(drawn) > STEEP * min(drawn)
    y = alt.Y("y:Q", title="Loss", axis=alt.Axis(tickCount=5, format="~g"))
    y = y.scale(type="log" if steep else "linear", zero=False)
    layers = [
        _line(_thin(within, MOST_MOMENTS), y, {"color": "var(--pale)", "strokeWidth": 1}),
        *_dotted(_thin(held), y, "rows kept out", {"color": "var(--muted)", "strokeWidth": 1.5, "strokeDash": [4, 3]}),
        *_dotted(_thin(mean), y, "rows that train", {"color": "var(--accent)", "strokeWidth": 2}),
        *[mark for i, found in enumerate(ailments) for mark in _spoken(found, i, len(epochs))],
    ]
    return _svg(alt.layer(*layers), "Loss by epoch")


def _within(epoch: int, course: Sequence[float | None]) -> list[tuple[float, float | None]]:
    return [(epoch + (i + 0.5) / len(course), loss) for i, loss in enumerate(course)]


def _spoken(found: Mapping[str, Json], number: int, epochs: int) -> list[alt.Chart]:
    """Where a rule spoke first, under its name; the names stand below each other."""
    since, right = found["since"], found["since"] <= epochs / 2
    chart = alt.Chart(alt.InlineData(values=[{"x": since, "says": f"{found['rule']}: {found['why']}"}])).encode(x="x:Q")
    at, aside = alt.value(8 + 15 * number), {"align": "left", "dx": 7} if right else {"align": "right", "dx": -7}
    words = {"text": found["rule"], "fontSize": 11, "font": "inherit", "color": "var(--warn)", **aside}
    return [
        chart.mark_rule(color="var(--warn)", strokeWidth=1, strokeDash=[2, 3]),
        chart.mark_point(color="var(--warn)", filled=True, size=60, opacity=1).encode(y=at, description="says:N"),
        chart.mark_text(**words).encode(y=at),
    ]


NORMS = {"most": "var(--warn)", "median": "var(--accent)", "first": "var(--ok)", "last": "var(--muted)"}
SAID = {"most": "largest step", "median": "usual step", "first": "first layer", "last": "last layer"}


def gradients(epochs: Sequence[Mapping[str, Json]]) -> Markup:
    """Norms by epoch, in NORMS' colours, on a logarithmic scale: what is 0 is not drawn."""
    norms = {name: _thin([(i, e["gradient"][name] or None) for i, e in enumerate(epochs, 1)]) for name in NORMS}
    decades = {floor(log10(y)) + up for points in norms.values() for _, y in points for up in (0, 1)}
    axis = alt.Axis(values=[10.0**n for n in sorted(decades)], format="~g")
    y = alt.Y("y:Q", title="Norm of the gradient", axis=axis, scale=alt.Scale(type="log"))
    layers = [
        mark for name, color in NORMS.items()
        for mark in _dotted(norms[name], y, SAID[name], {"color": color, "strokeWidth": 1.5})
    ]  # fmt: skip
    return _svg(alt.layer(*layers).properties(width=440), "Gradients by epoch")


def _dotted(points: Points, y: alt.Y, of: str, look: Mapping[str, Json]) -> list[alt.Chart]:
    line = _line(points, y, look, of)
    dots = line.mark_point(color=look["color"], filled=True, size=26, opacity=1)
    return [line, dots.encode(description="says:N")]


def _line(points: Points, y: alt.Y, look: Mapping[str, Json], of: str = "") -> alt.Chart:
    rows = [{"x": x, "y": value, "says": f"epoch {x:g}, {of}: {value:.4g}"} for x, value in points]
    x = alt.X("x:Q", title="Epoch", axis=EPOCHS)
    chart: alt.Chart = alt.Chart(alt.InlineData(values=rows), width=600, height=260).mark_line(**look)
    return chart.encode(x=x, y=y)


PHASES = {
    "forward": "var(--pale)", "backward": "var(--accent)", "update": "var(--ok)", "load": "var(--hatch)",
    "allreduce": "var(--edge)", "wait": "var(--muted)",
}  # fmt: skip


def phases(epochs: Sequence[Mapping[str, Json]]) -> Markup:
    """Shares of an epoch's time by what ranks do, on average, in PHASES' order and colours from below; of many epochs
    some together."""
    step = -(-len(epochs) // MOST_POINTS)
    rows = [row for i in range(0, len(epochs), step) for row in _shared(epochs[i : i + step], i)]
    span, axis = alt.Scale(domain=[0.5, len(epochs) + 0.5], nice=False), alt.Axis(format=".0%", tickCount=5)
    chart = alt.Chart(alt.InlineData(values=rows), width=440, height=260).mark_bar(binSpacing=1).encode(
        x=alt.X("x:Q", title="Epoch", axis=EPOCHS, scale=span), x2="x2:Q",
        y=alt.Y("y:Q", title="Share of the time", scale=alt.Scale(domain=[0, 1]), axis=axis), y2="y2:Q",
        color=alt.Color("of:N", scale=alt.Scale(domain=list(PHASES), range=list(PHASES.values())), legend=None),
        description="says:N",
    )  # fmt: skip
    return _svg(chart, "Time by epoch")


def _shared(epochs: Sequence[Mapping[str, Json]], before: int) -> list[dict[str, Json]]:
    whole = max(sum(e["seconds"] for e in epochs), 1e-9)
    shares = [sum(e["profile"][name] for e in epochs) / whole for name in PHASES]
    name = f"epoch {before + 1}" if len(epochs) == 1 else f"epochs {before + 1} to {before + len(epochs)}"
    span = {"x": before + 0.5, "x2": before + len(epochs) + 0.5}
    return [
        {**span, "y": low, "y2": min(high, 1.0), "of": of, "says": f"{name}, {of}: {share:.1%}"}
        for of, share, (low, high) in zip(PHASES, shares, pairwise(accumulate(shares, initial=0.0)), strict=True)
    ]


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


def _thin(points: Sequence[Sequence[float | None]], most: int = MOST_POINTS) -> list[Sequence[float]]:
    """At most so many of those that have all their numbers, the first and the last included."""
    whole = [cast(Sequence[float], p) for p in points if all(n is not None and isfinite(n) for n in p)]
    steps = min(len(whole), most) - 1
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
