"""Whether the package's compiled loops may be kept on disk."""

import os

# Numba keeps compiled code beside the source, behind an index that it pickles. Nothing on the way to a served
# prediction reads a pickle, so a served model sets this variable and compiles anew when it starts.
NO_CACHE_VARIABLE = "MLOPS_NO_COMPILE_CACHE"
CACHE = NO_CACHE_VARIABLE not in os.environ
