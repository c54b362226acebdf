"""Figures as bars in a terminal, as an SVG, and as tables of a page."""
import math
from html import escape

EIGHTHS = " ▏▎▍▌▋▊▉"
OURS, THEIRS, INK, FAINT, GRID = "#2563a8", "#9aa5b1", "#1f2933", "#52606d", "#e4e7eb"
LINES = ["#2563a8", "#c2571a", "#52606d", "#3d8b5f", "#8a4fa8"]


def bar(share, width, ascii_only):
    """A bar of share (0 to 1) of width columns, filled up with blanks."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    if ascii_only:
        return ("#" * round(eighths / 8)).ljust(width)
    return ("█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()).ljust(width)


def plain(text, ascii_only):
    if ascii_only:
        for char, other in ("µ", "u"), ("–", "-"), ("…", "..."), ("×", "x"), ("‰", "/1000"):
            text = text.replace(char, other)
    return text


def scale(medians):
    """What a full bar stands for: the most, or less where one is out of all proportion."""
    medians = sorted(medians)
    if len(medians) > 1 and medians[-1] > 5 * medians[-2] > 0:
        return medians[-2] * 1.4
    return medians[-1] or 1


def terminal(results, figures, candidates, references, columns, ascii_only):
    """The lines of one block a figure: name, bar, median, quartiles, ratios."""
    width = max(10, min(40, columns - 68))
    summary = results.summary()
    for name, figure in figures.items():
        rows = [(c, summary[name][c.name]) for c in candidates
                if summary.get(name, {}).get(c.name, {}).get("quartiles")]
        if not rows:
            continue
        arrow = "more is better" if figure.up else "less is better"
        shown = [r for r in references if any(c.name == r for c, _ in rows)]
        head = f"{figure.title}, {figure.unit} ({arrow})"
        yield ""
        yield plain(f"{head:<{12 + width + 1}} {'median':>9}  {'quartiles':<19}", ascii_only) + \
            "".join(f"{'to ' + r:>10}" for r in shown)
        top = scale([entry["quartiles"][1] for _, entry in rows])
        for candidate, entry in rows:
            low, middle, high = entry["quartiles"]
            line = f"{candidate.name:<12} {bar(middle / top, width, ascii_only)}{'>' if middle > top else ' '}"
            line += f"{figure.text(middle):>9}  "
            line += f"{figure.text(low) + ' – ' + figure.text(high):<19}"
            for reference in shown:
                ratio = entry.get("ratio to " + reference)
                line += f"{ratio[1]:>10.2f}" if ratio else f"{'':>10}"
            yield plain(line.rstrip(), ascii_only)


def table(rows, ascii_only):
    """Rows of words in columns, the first row a heading."""
    rows = [[plain(word, ascii_only) for word in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(word.ljust(width) for word, width in zip(row, widths)).rstrip()


class Svg:
    """A page of panels in two columns."""

    WIDTH, PANEL, GAP, ROW = 1120, 540, 40, 20

    def __init__(self, title, text):
        self.parts, self.heights = [], [88, 88]
        self.text(0, 30, title, size=22, weight=600)
        self.text(0, 54, text, fill=FAINT)

    def text(self, x, y, words, size=13, anchor="start", fill=INK, weight=400):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{fill}" '
                          f'font-weight="{weight}">{escape(str(words))}</text>')

    def rect(self, x, y, width, height, fill):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}" fill="{fill}" rx="2"/>')

    def line(self, points, stroke, width=1.0):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{stroke}" stroke-width="{width}"/>')

    def place(self, height):
        """The left upper corner of a new panel, in the shorter column."""
        column = 0 if self.heights[0] <= self.heights[1] else 1
        top = self.heights[column]
        self.heights[column] += height
        return column * (self.PANEL + self.GAP), top

    def bars(self, figure, rows):
        """rows: (candidate, quartiles)."""
        x, y = self.place(len(rows) * self.ROW + 58)
        self.text(x, y + 14, f"{figure.title}, {figure.unit}", size=14, weight=600)
        self.text(x + self.PANEL, y + 14, "more is better" if figure.up else "less is better", size=11, anchor="end",
                  fill=FAINT)
        top = scale([q[1] for _, q in rows])
        start, room = x + 92, self.PANEL - 92 - 90
        for number, (candidate, (low, middle, high)) in enumerate(rows):
            at = y + 26 + number * self.ROW
            self.text(start - 8, at + 13, candidate.name, size=12, anchor="end")
            ends = [start + min(1.03, value / top) * room for value in (low, middle, high)]
            self.rect(start, at + 2, max(1, ends[1] - start), self.ROW - 5, OURS if candidate.ours else THEIRS)
            if middle > top:  # it is longer than the page is wide
                self.line([(ends[1] - 14, at + self.ROW), (ends[1] - 8, at - 1)], "#ffffff", 3)
            else:
                self.line([(ends[0], at + 9.5), (ends[2], at + 9.5)], INK, 1.5)
            self.text(ends[2] + 7, at + 13, figure.text(middle), size=12)

    def lines(self, sweep):
        """A sweep: x on a logarithmic axis, y on one where it spans more than a factor of 30."""
        series = {name: points for name, points in sweep["series"].items() if points}
        points = [p for s in series.values() for p in s]
        x, y = self.place(292)
        left, right, top, bottom = x + 58, x + self.PANEL - 12, y + 58, y + 232
        xs, ys = [math.log10(p[0]) for p in points], [p[1] for p in points if p[1] > 0] or [1]
        steep = max(ys) / min(ys) > 30

        def across(value):
            return left + (math.log10(value) - min(xs)) / ((max(xs) - min(xs)) or 1) * (right - left)

        low, high = (10 ** math.floor(math.log10(min(ys))), 10 ** math.ceil(math.log10(max(ys)))) if steep \
            else (0, nice(max(ys)))

        def up(value):
            if steep:
                share = math.log10(max(value, low) / low) / math.log10(high / low)
            else:
                share = value / high
            return bottom - share * (bottom - top)

        self.text(x, y + 14, sweep["title"], size=14, weight=600)
        ticks = [10 ** n for n in range(int(math.log10(low)), int(math.log10(high)) + 1)] if steep \
            else [high * n / 4 for n in range(5)]
        for tick in ticks:
            self.line([(left, up(tick)), (right, up(tick))], GRID)
            self.text(left - 6, up(tick) + 4, f"{tick:,g}", size=11, anchor="end", fill=FAINT)
        for value in sorted({p[0] for p in points}):
            self.text(across(value), bottom + 16, short(value), size=11, anchor="middle", fill=FAINT)
        self.text((left + right) / 2, bottom + 33, sweep["x"], size=11, anchor="middle", fill=FAINT)
        along = left
        for number, (name, values) in enumerate(series.items()):
            colour = LINES[number % len(LINES)]
            self.line([(across(a), up(b)) for a, b in values], colour, 2)
            for a, b in values:
                self.rect(across(a) - 2.5, up(b) - 2.5, 5, 5, colour)
            self.rect(along, y + 32, 12, 5, colour)
            self.text(along + 17, y + 39, name, size=12)
            along += 34 + 7 * len(name)
        self.text(x + self.PANEL, y + 14, sweep["y"], size=11, anchor="end", fill=FAINT)

    def names(self, candidates):
        """Who is who."""
        x, y = self.place(len(candidates) * 17 + 40)
        for number, candidate in enumerate(candidates):
            self.text(x + 84, y + 14 + number * 17, candidate.name, size=12, anchor="end", weight=600)
            self.text(x + 92, y + 14 + number * 17, candidate.title, size=12)

    def page(self):
        height = max(self.heights) + 10
        return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-30 -10 {self.WIDTH + 60} {height}" '
                f'width="{self.WIDTH + 60}" height="{height}" font-family="Helvetica, Arial, DejaVu Sans, sans-serif">'
                f'<rect x="-30" y="-10" width="{self.WIDTH + 60}" height="{height}" fill="#ffffff"/>\n'
                + "\n".join(self.parts) + "\n</svg>\n")


def nice(value):
    """A round number not below value, which four steps divide well."""
    unit = 10 ** math.floor(math.log10(value))
    return next(unit * n for n in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10) if unit * n >= value)


def short(number):
    for size, letter in (1_000_000, "M"), (1000, "k"):
        if number >= size and number % (size // 10) == 0:
            return f"{number / size:g}{letter}"
    return f"{number:g}"


def svg(results, figures, candidates, title, text):
    page = Svg(title, text)
    summary = results.summary()
    for name, figure in figures.items():
        rows = [(c, summary[name][c.name]["quartiles"]) for c in candidates
                if summary.get(name, {}).get(c.name, {}).get("quartiles")]
        if rows:
            page.bars(figure, rows)
    for sweep in results.sweeps.values():
        if any(sweep["series"].values()):
            page.lines(sweep)
    page.names([c for c in candidates if any(c.name in entries for entries in summary.values())])
    return page.page()


def markdown(results, figures, candidates, judged, text):
    """A page: what is judged, then a table of medians for each few figures."""
    summary = results.summary()

    def row(words):
        return "| " + " | ".join(words) + " |"

    def median(name, candidate):
        found = summary.get(name, {}).get(candidate.name, {}).get("quartiles")
        return figures[name].text(found[1]) if found else ""

    yield from ["# The figures of one run", "", f"Made by `scripts/bench --markdown`; [README.md](README.md) tells what is "
                f"measured. {text}", "", row(["judged", "aim", "figure", ""]), "|---|---|---|---|"]
    yield from (row([e["text"], e["aim"], e["shown"], {True: "met", False: "**not met**", None: ""}[e["met"]]])
                for e in judged)
    names = [name for name in figures if name in summary]
    for some in (names[i:i + 6] for i in range(0, len(names), 6)):
        rows = [c for c in candidates if any(median(name, c) for name in some)]
        yield from ["", row(["", *(f"{figures[name].title}, {figures[name].unit}" for name in some)]),
                    "|---" + "|---:" * len(some) + "|"]
        yield from (row([f"`{c.name}`", *(median(name, c) for name in some)]) for c in rows)
    for sweep in results.sweeps.values():
        xs = sorted({x for points in sweep["series"].values() for x, _ in points})
        yield from ["", row([f"{sweep['title']}, {sweep['y']}; {sweep['x']}:", *map(short, xs)]), "|---" + "|---:" * len(xs) + "|"]
        for name, points in sweep["series"].items():
            yield row([name, *(f"{dict(points)[x]:,.4g}" if x in dict(points) else "" for x in xs)])
