"""Draws the losses that Keras' `CSVLogger` wrote.

    python tools/plot_losses.py runs/first_run/losses.csv docs/images/first_run_losses.png

Needs matplotlib: `pip install -e ".[docs]"`.
"""

import argparse
import csv
import pathlib

TERMS = ("loss", "semantic_loss", "center_loss", "offset_loss")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("losses", type=pathlib.Path)
    parser.add_argument("picture", type=pathlib.Path)
    arguments = parser.parse_args()

    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with open(arguments.losses, newline="") as file:
        rows = list(csv.DictReader(file))
    figure, axes = pyplot.subplots(figsize=(6, 3.4), layout="constrained")
    for term in TERMS:
        axes.plot(range(1, len(rows) + 1), [float(row[term]) for row in rows], label=term.replace("_", " "))
    axes.set(yscale="log", xlabel="epoch", ylabel="mean loss", xlim=(1, len(rows)))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, ncols=2)
    figure.savefig(arguments.picture, dpi=130)


if __name__ == "__main__":
    main()
