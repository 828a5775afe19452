"""Times one training step (forward, loss, backward, Adam) of the networks on every installed backend.

    python tools/benchmarks/training_step.py               # Panoptic-DeepLab, two images of 257x513
    python tools/benchmarks/training_step.py --peers       # DeepLabV3+ beside keras-hub's and smp's
    python tools/benchmarks/training_step.py --networks axial_swidernet_1_1_1 --options '{"recompute": true}'

The columns are those of `forward.py`. Arithmetic counts as three forward passes, also with recomputation.
"""

from network_table import run_table


def step(network, images, labels):
    """One step of training."""
    return network.step(images, labels)


if __name__ == "__main__":
    run_table(__file__, __doc__, step, passes=3, batch=2, runs=3)
