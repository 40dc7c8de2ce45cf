"""What runs graphs: the seam of one method, and the choice of an engine behind it."""

from sdrt.arrays import Array as Array
from sdrt.backends.backend import BACKENDS as BACKENDS
from sdrt.backends.backend import Backend as Backend
from sdrt.backends.backend import is_installed as is_installed
from sdrt.backends.backend import open_backend as open_backend
from sdrt.backends.backend import usable_backends as usable_backends
from sdrt.backends.graph import Changes as Changes
from sdrt.backends.graph import Graph as Graph
from sdrt.backends.graph import Network as Network
from sdrt.backends.graph import Shapes as Shapes
from sdrt.backends.graph import check_feeds as check_feeds
from sdrt.backends.graph import check_shapes as check_shapes
from sdrt.backends.graph import first_nonfinite as first_nonfinite
