"""The section `walk_forward:` of params.yaml: the windows over which the whole recipe is repeated."""

from typing import Annotated, Literal

from pydantic import Field

from MLOps.config.schema import section
from MLOps.config.types import Positive


@section
class WalkForwardConfig:
    """The last of the `windows` is the pipeline itself; the earlier ones repeat it on the bars known by then.

    Attributes:
        windows: test spans in a row.
        test_bars: length of the earlier windows' test spans; null for the length of the pipeline's.
        training: `anchored` trains every window from the first bar on; `sliding` trains all windows, the pipeline's
            included, on as many bars as the earliest one.
        refit: whether the recipe is trained once more on all bars, with the choices made, and this model is promoted in
            place of the last window's, which was judged.
    """

    windows: Positive
    test_bars: Annotated[int, Field(ge=20)] | None  # as many bars as any span must have: MIN_BARS in data/splits.py
    training: Literal["anchored", "sliding"]
    refit: bool = False
