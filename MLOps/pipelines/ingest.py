"""Raw bars of the configured source, unaltered, in contract form."""

from MLOps.artifacts import write_table
from MLOps.data.sources import load_bars
from MLOps.pipelines import paths
from MLOps.pipelines.stage import Stage


def main() -> None:
    with Stage("ingest") as stage:
        bars = load_bars(stage.params.data, stage.params.seed)
        write_table(paths.RAW_BARS, bars)
        stage.report({"bars": len(bars), "symbols": bars["symbol"].nunique()})


if __name__ == "__main__":
    main()
