"""Functions on tensors, with PyTorch's names. Importing this package attaches the methods of `Tensor`."""

from ..dtypes import bool_, float32, float64, int32, int64, uint8
from .activation import *
from .arithmetic import *
from . import arithmetic_in_place
from .bounds import *
from .comparison import *
from .conversion import *
from .creation import *
from .from_data import *
from .elementwise import *
from .special import *
from .expansion import *
from .joining import *
from .moving import *
from .norms import *
from .ranges import *
from .reduce import *
from .shape import *
from .slicing import *
from . import indexing
from .gathering import *
from .masking import *
from .embedding import *
from .scans import *
from .sorting import *
from .scatter_reduction import *
from .losses import *
from .products import *
from .convolution import *
from .contractions import *
from .matrices import *
from .geometry import *
from .inquiries import *
from .statistics import *
from .combining import *
from .einsum import *
from .generator import *
from .random import *
from .draws import *
from .dropout import *
from .normalization import *
from .channel_norms import *
from .pooling import *
from .shuffling import *
from . import padding, pooling, resampling
from . import filling
