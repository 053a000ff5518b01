"""Latency of the served candidate beside that of a model that computes nothing.

`python -m benchmarks.serving` starts `mlflow models serve` for the candidate of the last run and for a model that
returns the last row of its input, and asks both in turn with the same bars, those that one decision needs. Of the
latency the computation of the features is measured alone, in this process.
"""

import argparse
import http.client
import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
import numpy as np

from MLOps.artifacts import read_table, write_json
from MLOps.commands.registered import bundle_versions
from MLOps.commands.servers import background, free_port, serving_command, wait_for
from MLOps.config.params import load_params
from MLOps.data.bars import check_bars
from MLOps.deployment.trading_model import TradingModel
from MLOps.experiment_tracking.address import store_uri
from MLOps.pipelines import paths

ECHO = """
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

class Echo(PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input.tail(1)

set_model(Echo())
"""
WARM_UP = 20


def asked(port: int, body: str) -> Callable[[], None]:
    """A function that posts the body, and waits for the answer."""

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status != 200:
            raise SystemExit(f"the server at port {port} answers with {answer.status}: {text[:300]!r}")

    return ask


def latencies_ms(works: dict[str, Callable[[], object]], requests: int) -> dict[str, dict[str, float]]:
    """Median and 95th percentile of each function's time, called in turn."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(WARM_UP + requests):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            times[name].append(1000 * (time.perf_counter() - start))
    return {
        name: {"p50_ms": float(np.median(own[WARM_UP:])), "p95_ms": float(np.quantile(own[WARM_UP:], 0.95))}
        for name, own in times.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=300, help="of each model (default: 300)")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    models = bundle_versions()
    model = TradingModel.load(models.bundle(models.resolve("candidate")))
    bars = model.example_request(read_table(paths.BARS)).reset_index(drop=True)
    checked = check_bars(bars, "bars")
    rows = bars.assign(timestamp=bars["timestamp"].astype(str)).astype(object).to_numpy().tolist()
    body = json.dumps({"dataframe_split": {"columns": list(bars.columns), "data": rows}})
    with TemporaryDirectory() as folder, ExitStack() as servers:
        (Path(folder) / "echo.py").write_text(ECHO)
        mlflow.pyfunc.save_model(f"{folder}/echo", python_model=f"{folder}/echo.py", pip_requirements=[])
        ports = {}
        for name, uri in {"candidate": f"models:/{models.name}@candidate", "echo": f"{folder}/echo"}.items():
            ports[name] = free_port()
            command = serving_command(uri, "127.0.0.1", ports[name])
            variables = {"MLFLOW_TRACKING_URI": store_uri(load_params().tracking)}
            server = servers.enter_context(background(command, variables))
            wait_for(f"http://127.0.0.1:{ports[name]}/ping", server)
        works: dict[str, Callable[[], object]] = {name: asked(port, body) for name, port in ports.items()}
        works["features"] = partial(model.pipeline.compute, checked)
        figures = latencies_ms(works, options.requests)
    beyond = (figures["candidate"]["p50_ms"] - figures["features"]["p50_ms"]) / figures["echo"]["p50_ms"]
    print(f"{len(bars)} bars of {bars['symbol'].nunique()} symbols")
    for name, own in figures.items():
        print(f"{name:10} {own['p50_ms']:7.1f} ms, 95th percentile {own['p95_ms']:7.1f} ms")
    print(f"candidate without its features over echo: {beyond:.2f}")
    if options.json:
        write_json(options.json, {"bars": len(bars), **figures, "beyond_features": beyond})


if __name__ == "__main__":
    main()
