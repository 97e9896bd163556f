"""Every loss, as class and as function: the names, arguments and meaning of `keras.losses`."""

from lossjax.core.combined import On as On
from lossjax.core.combined import WeightedSum as WeightedSum
from lossjax.core.config import deserialize as deserialize
from lossjax.core.config import get as get
from lossjax.core.config import serialize as serialize
from lossjax.core.domain.parameters import Beta as Beta
from lossjax.core.domain.parameters import Gamma as Gamma
from lossjax.core.domain.parameters import Gaussian as Gaussian
from lossjax.core.domain.parameters import InverseGaussian as InverseGaussian
from lossjax.core.domain.parameters import Laplace as Laplace
from lossjax.core.domain.parameters import Mixture as Mixture
from lossjax.core.domain.parameters import NegativeBinomial as NegativeBinomial
from lossjax.core.domain.parameters import StudentT as StudentT
from lossjax.core.domain.parameters import (
    ZeroInflatedNegativeBinomial as ZeroInflatedNegativeBinomial,
)
from lossjax.core.loss import Loss as Loss
from lossjax.losses.binary import *  # noqa: F403
from lossjax.losses.boxes import *  # noqa: F403
from lossjax.losses.categorical import *  # noqa: F403
from lossjax.losses.cross_entropy import *  # noqa: F403
from lossjax.losses.distribution import *  # noqa: F403
from lossjax.losses.fenchel_young import *  # noqa: F403
from lossjax.losses.hinge import *  # noqa: F403
from lossjax.losses.imbalance import *  # noqa: F403
from lossjax.losses.likelihood import *  # noqa: F403
from lossjax.losses.lovasz import *  # noqa: F403
from lossjax.losses.margin import *  # noqa: F403
from lossjax.losses.ordinal import *  # noqa: F403
from lossjax.losses.regions import *  # noqa: F403
from lossjax.losses.regression import *  # noqa: F403
from lossjax.losses.relative import *  # noqa: F403
from lossjax.losses.robust import *  # noqa: F403
from lossjax.losses.segmentation import *  # noqa: F403
from lossjax.losses.sequence import *  # noqa: F403
from lossjax.losses.similarity import *  # noqa: F403
from lossjax.losses.survival import *  # noqa: F403
from lossjax.losses.vocabulary import *  # noqa: F403
