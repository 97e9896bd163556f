"""The libraries that are measured side by side, in the order of the tables."""

from bench.peers.base import JaxPeer as JaxPeer
from bench.peers.base import Peer as Peer
from bench.peers.keras import Keras
from bench.peers.optax import Optax
from bench.peers.ours import Ours, Traced
from bench.peers.torch import Torch, TorchCompile

OURS = Ours()
TRACED = Traced()
PEERS: tuple[Peer, ...] = (OURS, Keras(), Optax(), Torch(), TorchCompile())
