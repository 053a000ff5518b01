"""Remake bars.csv.gz: `pip install bokeh_sampledata && python data/sample/make_sample.py`."""

from pathlib import Path

import pandas as pd
from bokeh_sampledata.stocks import data

HERE = Path(__file__).parent


def main() -> None:
    bars = pd.DataFrame(data).rename(columns={"ticker": "symbol"})
    bars = bars[["symbol", "date", "open", "high", "low", "close", "adj_close", "volume"]]
    bars["date"] = bars["date"].dt.strftime("%Y-%m-%d")
    bars = bars.sort_values(["symbol", "date"], ignore_index=True)
    # mtime is the one field of a gzip header that would differ from day to day.
    bars.to_csv(HERE / "bars.csv.gz", index=False, lineterminator="\n", compression={"method": "gzip", "mtime": 0})
    print(f"{len(bars)} bars of {bars['symbol'].nunique()} symbols written to {HERE / 'bars.csv.gz'}")


if __name__ == "__main__":
    main()
