"""Whether Numba may cache the package's compiled functions on disk."""

import os

# Numba stores compiled code next to the source with a pickled index. A served model must not read pickles, so it sets
# this variable and compiles at start-up.
NO_CACHE_VARIABLE = "MLOPS_NO_COMPILE_CACHE"
CACHE = NO_CACHE_VARIABLE not in os.environ
