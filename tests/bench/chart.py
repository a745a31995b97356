"""The summary of a benchmark as a bar chart."""

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402


def draw(table, path):
    """One group of bars a cell, one bar a place, with the spread of the rounds; the raw disk is 1."""
    names = []
    for row in table.values():
        names += [name for name in row if name not in names and name != "raw"]
    height = 0.8 / max(len(names), 1)
    figure, axes = plt.subplots(figsize=(9, 1 + 0.16 * len(names) * len(table) + 0.3 * len(table)))
    for index, name in enumerate(names):
        places, values, spread = [], [], ([], [])
        for position, row in enumerate(table.values()):
            if name in row:
                entry = row[name]
                places.append(position + (index - (len(names) - 1) / 2) * height)
                values.append(entry["ratio"])
                spread[0].append(entry["ratio"] - entry["low"])
                spread[1].append(entry["high"] - entry["ratio"])
        axes.barh(places, values, height, xerr=spread, label=name,
                  error_kw={"elinewidth": 0.6, "alpha": 0.5})
    axes.set_yticks(range(len(table)), list(table))
    axes.invert_yaxis()
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel("rate as a ratio to the raw disk (1), median of the rounds and their range")
    axes.legend(fontsize="small")
    figure.tight_layout()
    # Without a date in it, so that the same figures give the same file.
    figure.savefig(path, metadata={"Date": None})
