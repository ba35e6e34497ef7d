"""SVG by hand: dots with their spread on a logarithmic axis, and bars on a linear one."""
import html
import math

COLOURS = {"tally": "#c1121f", "tally_rows": "#f4a259", "postgres": "#336791", "postgres_view": "#8fb8de", "duckdb": "#6b8e23", "clickhouse": "#7b4fa3"}
LEFT, WIDTH, ROW = 230, 620, 26


def text(x, y, words, anchor="start", size=12, colour="#222", weight="normal"):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}" font-weight="{weight}">{html.escape(words)}</text>'


def line(x1, y1, x2, y2, colour="#ddd", width=1.0):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"/>'


def document(height, title, parts):
    width = LEFT + WIDTH + 40
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" font-family="sans-serif">',
                      f'<rect width="{width}" height="{height}" fill="#fff"/>', text(12, 24, title, size=15, weight="bold"), *parts, "</svg>", ""])


def legend(names, labels, y):
    out, x = [], 12
    for name in names:
        out += [f'<circle cx="{x + 6}" cy="{y - 4}" r="5" fill="{COLOURS.get(name, "#555")}"/>', text(x + 16, y, labels[name], size=11)]
        x += 34 + 6.2 * len(labels[name])
    return out


def power_of_ten(n):
    if n >= 1e6:
        return f"{n / 1e6:g} M"
    return f"{n / 1e3:g} K" if n >= 1e3 else f"{n:g}"


def dots(title, axis, rows, labels, mark=None):
    """rows: [(name of the row, {system: {"median", "least", "most"}})]; a logarithmic axis; mark: a value with a line of its own."""
    values = [v for _, systems in rows for s in systems.values() for v in (s["least"], s["most"]) if v > 0]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)
    top, names = 76, [n for n in labels if any(n in systems for _, systems in rows)]
    bottom = top + ROW * len(rows)

    def place(v):
        return LEFT + (math.log10(v) - low) / (high - low) * WIDTH

    out = legend(names, labels, 50)
    for n in range(low, high + 1):
        out += [line(place(10.0 ** n), top - 8, place(10.0 ** n), bottom), text(place(10.0 ** n), bottom + 16, power_of_ten(10.0 ** n), "middle", 11)]
    if mark:
        out.append(line(place(mark), top - 8, place(mark), bottom, "#222", 1.5))
    for i, (name, systems) in enumerate(rows):
        y = top + ROW * (i + 0.5)
        out += [text(LEFT - 10, y + 4, name, "end"), line(LEFT, y, LEFT + WIDTH, y, "#eee")]
        for system, s in systems.items():
            colour = COLOURS.get(system, "#555")
            out += [line(place(s["least"]), y, place(s["most"]), y, colour, 2),
                    f'<circle cx="{place(s["median"]):.1f}" cy="{y:.1f}" r="5" fill="{colour}"><title>{html.escape(labels[system])}: {s["median"]:.4g}</title></circle>']
    out.append(text(LEFT + WIDTH / 2, bottom + 36, axis, "middle", 12))
    return document(bottom + 50, title, out)


def bars(title, axis, values, labels):
    """values: {system: number}; a linear axis from 0."""
    most, top = max(values.values()), 48
    step = 10 ** math.floor(math.log10(most))
    step = step / 2 if most / step < 3 else step
    bottom, out, n = top + ROW * len(values), [], 0

    def place(v):
        return LEFT + v / (most * 1.12) * WIDTH

    while n * step <= most * 1.1:
        out += [line(place(n * step), top - 8, place(n * step), bottom), text(place(n * step), bottom + 16, f"{n * step:g}", "middle", 11)]
        n += 1
    for i, (system, v) in enumerate(values.items()):
        y = top + ROW * i + 4
        out += [text(LEFT - 10, y + 13, labels[system], "end"), text(place(v) + 6, y + 13, f"{v:.1f}", size=11),
                f'<rect x="{LEFT}" y="{y}" width="{place(v) - LEFT:.1f}" height="{ROW - 8}" fill="{COLOURS.get(system, "#555")}"/>']
    out.append(text(LEFT + WIDTH / 2, bottom + 36, axis, "middle", 12))
    return document(bottom + 50, title, out)
