"""The same training on one device, on several, and on several hosts.

Run it with `python examples/13_many_devices.py`: it takes all devices that are there. On two hosts,
with the address of the first:

    python examples/13_many_devices.py --coordinator HOST:PORT --processes 2 --process 0
    python examples/13_many_devices.py --coordinator HOST:PORT --processes 2 --process 1
"""

import argparse

import jax
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh
from sklearn.datasets import load_digits

from lossjax import losses, training


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--coordinator", help="address of the first process")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--process", type=int, default=0, help="number of this one")
    options = parser.parse_args()
    if options.processes > 1:
        jax.distributed.initialize(options.coordinator, options.processes, options.process)
    mesh = Mesh(np.array(jax.devices()), ("data",))

    x, y = load_digits(return_X_y=True)
    rngs = nnx.Rngs(0)
    model = nnx.Sequential(nnx.Linear(64, 32, rngs=rngs), nnx.relu, nnx.Linear(32, 10, rngs=rngs))
    _, history = training.fit(
        training.init(model, optax.adam(0.03)),
        losses.SparseCategoricalCrossentropy(from_logits=True),
        (x.astype("float32") / 16, y.astype("int32")),
        epochs=3,
        batch_size=100,
        validation_split=0.2,
        mesh=mesh,
    )
    if jax.process_index() == 0:
        print(f"{mesh.size} devices, validation loss {history['val_loss'][-1]:.6f}")


if __name__ == "__main__":
    main()
