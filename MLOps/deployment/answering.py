"""From the body of a request to that of its answer: the bars are checked, the model decides, the record is told."""

import hashlib
import json
import logging
import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from MLOps.config.serving import ANSWERED, ServingConfig
from MLOps.data.bars import check_bars
from MLOps.deployment.body import WHERE, read_body
from MLOps.deployment.parameters import Accounts, read_accounts
from MLOps.deployment.record import DecisionRecord
from MLOps.deployment.trading_model import Decided, TradingModel
from MLOps.errors import UserError
from MLOps.features.pipeline import rows_by_symbol
from MLOps.predictors.signals import PROBABILITY

log = logging.getLogger("uvicorn.error")


@dataclass(frozen=True)
class Answering:
    """Answers of one loaded model, under the limits of the configuration.

    Attributes:
        record: is told of each decision; None records nothing.
        version: of the model in the registry, for the record.
        role: how the model is asked, for the record.
    """

    model: TradingModel
    limits: ServingConfig
    record: DecisionRecord | None = None
    version: str | None = None
    role: str = ANSWERED

    def answer(self, body: bytes) -> dict[str, Any]:
        """The decisions, and under `not_decided` the newest bar of each symbol without one.

        Raises:
            UserError: the request is wrong, beyond a limit, or not of this time.
        """
        started = time.perf_counter()
        table, params = read_body(body, self.limits)
        asked = read_accounts(self.model, params, self.limits.max_symbols)
        bars = check_bars(table, WHERE)
        rows = rows_by_symbol(bars)
        newest_bars = pd.Series(bars["timestamp"].iloc[[own[-1] for own in rows.values()]].array, index=list(rows))
        if len(newest_bars) > self.limits.max_symbols:
            raise UserError(f"{WHERE}: expected at most {self.limits.max_symbols} symbols, found {len(newest_bars)}")
        self._check_time(newest_bars)
        decided = self.model.decided(bars, asked.cash, asked.positions, asked.states)
        decisions = decided.answer
        _check_finite(decisions)
        if self.record is not None:
            self._tell(self.record, body, asked, decided, 1e3 * (time.perf_counter() - started))
        newest_bars = newest_bars.loc[[name for name in newest_bars.index if self._is_own(name)]]
        late = newest_bars.loc[newest_bars.index.difference(decisions["symbol"])]
        return {
            "predictions": decisions.to_dict(orient="records"),
            "not_decided": {symbol: stamp.isoformat() for symbol, stamp in late.items()},
        }

    def _check_time(self, newest_bars: pd.Series) -> None:
        """Refuse bars of the future, bars that are too old and, if so configured, symbols that lag behind."""
        limits, now = self.limits, pd.Timestamp(time.time(), unit="s", tz="UTC")
        newest, symbol = newest_bars.max(), newest_bars.idxmax()
        if newest > now + pd.Timedelta(minutes=limits.clock_skew_minutes):
            raise UserError(
                f"{WHERE}: expected none after the server's clock, {now.isoformat(timespec='seconds')}, found "
                f"{newest.isoformat()} of {symbol}; correct the timestamps, which are in UTC, or the clock"
            )
        if limits.max_age_minutes is not None and newest < now - pd.Timedelta(minutes=limits.max_age_minutes):
            raise UserError(
                f"{WHERE}: the newest, {newest.isoformat()}, is older than {limits.max_age_minutes:g} minutes; send "
                "newer bars, or raise serving.max_age_minutes"
            )
        if limits.on_lag == "refuse":
            ended = {life.symbol for life in self.model.pipeline.lives if life.ended}
            late = [name for name, last in newest_bars.items() if last < newest and name not in ended]
            if late:
                raise UserError(
                    f"{WHERE}: expected a bar of each symbol at {newest.isoformat()}, found the newest of {late[0]} at "
                    f"{newest_bars[late[0]].isoformat()}; send it, or set serving.on_lag: flag"
                )

    def _tell(self, record: DecisionRecord, body: bytes, asked: Accounts, decided: Decided, latency_ms: float) -> None:
        try:
            record.add(self._rows(body, asked, decided, latency_ms))
        except Exception:
            log.exception("a decision is not recorded")

    def _rows(self, body: bytes, asked: Accounts, decided: Decided, latency_ms: float) -> list[dict[str, Any]]:
        """A row a symbol; features and forecasts, which differ between versions, as JSON."""
        trading, closes = self.model.trading, decided.closes
        of_request = {
            "time": datetime.now(UTC),
            "request": hashlib.sha256(body).hexdigest(),
            "account": asked.account,
            "role": self.role,
            "version": self.version,
            "bundle": self.model.identity,
            "latency_ms": latency_ms,
            "fill": trading.fill,
            "cost_bps": trading.fee_bps + trading.slippage_bps,
            "portfolio": bool(self.model.agent.symbols),
        }
        held = {symbol: own.shares * closes[symbol] for symbol, own in asked.positions.items() if symbol in closes}
        portfolio_equity = asked.cash + sum(held.values())
        rows = []
        for own, values in zip(
            decided.answer.to_dict(orient="records"), decided.features.to_dict(orient="records"), strict=True
        ):
            symbol = own["symbol"]
            account = asked.positions.get(symbol)
            cash = asked.cash if account is None else account.cash
            equity = portfolio_equity if self.model.agent.symbols else cash + held.get(symbol, 0.0)
            forecasts = {name: value for name, value in own.items() if name.startswith(PROBABILITY)}
            rows.append(
                {
                    **of_request,
                    "symbol": symbol,
                    "timestamp": pd.Timestamp(own["timestamp"]),
                    "close": closes[symbol],
                    "equity": equity,
                    "action": str(own["action"]),
                    "target_position": own["target_position"],
                    "order_shares": own["order_shares"],
                    "uncertainty": own["uncertainty"],
                    "forecasts": json.dumps(forecasts),
                    "features": json.dumps({k: v if math.isfinite(v) else None for k, v in values.items()}),
                }
            )
        return rows

    def _is_own(self, symbol: str) -> bool:
        return not self.model.agent.symbols or symbol in self.model.agent.symbols


def _check_finite(decisions: pd.DataFrame) -> None:
    numbers = decisions.select_dtypes("number")
    if not (finite := np.isfinite(numbers.to_numpy(dtype=float)).all(axis=1)).all():
        symbol = decisions["symbol"].iloc[int(np.argmin(finite))]
        raise UserError(f"{WHERE}: the prices of {symbol} give no finite decision; correct them")


def as_json(values: Any) -> bytes:
    """UTF-8 text; ValueError for NaN and infinity, which JSON does not have."""
    return json.dumps(values, allow_nan=False, ensure_ascii=False).encode()
