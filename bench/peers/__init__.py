"""The libraries that are measured side by side, in the order of the tables."""

from bench.peers.base import JaxPeer as JaxPeer
from bench.peers.base import Peer as Peer
from bench.peers.on_jax import JaxCCE, Keras, Optax, Ours, Tokamax, Traced
from bench.peers.torch import Torch, TorchCompile

OURS = Ours()
TRACED = Traced()
PEERS: tuple[Peer, ...] = (OURS, Keras(), Optax(), Torch(), TorchCompile())
LINEAR = (JaxCCE(), Tokamax())  # for large vocabularies alone
