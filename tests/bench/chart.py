"""The summary of a benchmark as a bar chart."""

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.patches import Patch  # noqa: E402


def draw(table, path):
    """A group of bars a cell, one a place, with the spread of the rounds; the raw disk is 1."""
    names = []
    for row in table.values():
        names += [name for name in row if name not in names and name != "raw"]
    colours = dict(zip(names, plt.get_cmap("tab20").colors))
    bars = [[(name, row[name]) for name in names if name in row] for row in table.values()]
    figure, axes = plt.subplots(figsize=(9, 1 + 0.13 * sum(map(len, bars)) + 0.12 * len(bars)))
    position, ticks = 0, []
    for group in bars:
        ticks.append(position + (len(group) - 1) / 2)
        for name, entry in group:
            spread = [[entry["ratio"] - entry["low"]], [entry["high"] - entry["ratio"]]]
            axes.barh(position, entry["ratio"], 1, xerr=spread, color=colours[name],
                      error_kw={"elinewidth": 0.6, "alpha": 0.5})
            position += 1
        position += 1
    axes.set_yticks(ticks, list(table))
    axes.set_ylim(position - 1, -1)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel("rate as a ratio to the raw disk (1), median of the rounds and their range")
    axes.legend(handles=[Patch(color=colours[name], label=name) for name in names],
                fontsize="small")
    figure.tight_layout()
    # Without a date in it, so that the same figures give the same file.
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
