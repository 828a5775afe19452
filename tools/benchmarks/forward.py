"""Times the networks' forward pass, without post-processing, on every installed backend.

    python tools/benchmarks/forward.py                     # Panoptic-DeepLab at 257x513
    python tools/benchmarks/forward.py --peers             # DeepLabV3+ beside keras-hub's and smp's
    python tools/benchmarks/forward.py --networks resnet50 --backends jax --cores 2

Columns: seconds of the first call, with compilation; medians of later ones, as wall time and as time of
all processor threads; arithmetic as torch counts it (2 per multiply-add), its rate, and that against the
fastest backend's matrix product; the peak of resident memory during the first two calls, compilation
included, above that of the built network. Timed processes keep freed memory (`KEEP_MEMORY` in
`measurement.py`), or with `--default-allocator` do as glibc does.
"""

from network_table import run_table


def forward(network, images, labels):
    """One inference."""
    return network.forward(images)


if __name__ == "__main__":
    run_table(__file__, __doc__, forward, passes=1, batch=1, runs=7)
