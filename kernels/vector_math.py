"""Mathematical functions on staged vectors."""
from .math_basic import *
from .math_exp import *
from .math_log import *
from .math_hyperbolic import *
from .math_erf import *
from .math_trig import *
from .math_arc import *
from .math_power import *
