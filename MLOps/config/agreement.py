"""Check all of params.yaml: every section, and that the sections agree with each other."""

from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

from MLOps.config.agent_ensemble import ENSEMBLE_SCHEMES
from MLOps.config.agents import ObserveConfig
from MLOps.config.params import SECTIONS, Params, load_params
from MLOps.config.predictors import ENSEMBLE
from MLOps.config.schema import parse, suggest
from MLOps.config.search import SearchRange
from MLOps.errors import UserError


def check_params(path: Path = Path("params.yaml")) -> Params:
    """Read every section of params.yaml.

    Raises:
        UserError: a key is unknown, missing or of the wrong type, or two sections contradict each other.
    """
    params = load_params(path)
    for name in SECTIONS:
        getattr(params, name)
    for mistake in _mistakes(params):
        raise UserError(f"{path}: {mistake}")
    return params


def _mistakes(params: Params) -> list[str]:
    mistakes = [
        f"search.{kind}.spaces: unknown name {name!r}; {suggest(name, getattr(params, kind))}"
        for kind in ("predictors", "agents")
        for name in getattr(params.search, kind).spaces
        if name not in getattr(params, kind)
    ]
    mistakes += [
        f"search.{kind}.spaces.{name}: unknown parameter {key!r}; {suggest(key, known)}"
        for kind in ("predictors", "agents")
        for name, space in getattr(params.search, kind).spaces.items()
        if name in getattr(params, kind)
        for known in [[field.name for field in fields(getattr(params, kind)[name])]]
        for key in space
        if key not in known
    ]
    mistakes += [
        mistake
        for kind in ("predictors", "agents")
        for name, space in getattr(params.search, kind).spaces.items()
        if name in getattr(params, kind)
        for key, bounds in space.items()
        for mistake in _mistakes_of_range(
            f"search.{kind}.spaces.{name}.{key}", bounds, getattr(params, kind)[name], key
        )
    ]
    if params.data.source == "labelled" and params.splits.validation_start is not None:
        mistakes.append(
            "splits.validation_start: the rows of a labelled table have no days; set train, validation and test instead"
        )
    if (params.data.source == "labelled") != (params.labels.kind == "target"):
        mistakes.append(
            f"labels.kind: the source labelled requires the kind target and the reverse, found data.source "
            f"{params.data.source} and labels.kind {params.labels.kind}; change one of them"
        )
    if params.data.source == "labelled" and params.data.sentiment.enabled:
        mistakes.append(
            "data.sentiment.enabled: sentiment cannot be joined to a labelled table, which has no bars; set false"
        )
    if ENSEMBLE in params.predictors:
        mistakes.append(f"predictors.{ENSEMBLE}: the name stands for the ensemble of the predictors; choose another")
    scheme = params.trading.scheme
    mistakes += [
        f"agents.{name}: {agent.kind} acts in the scheme {' or '.join(agent.schemes)}, found trading.scheme {scheme}; "
        "change one of them"
        for name, agent in params.agents.items()
        if scheme not in agent.schemes
    ]
    if params.agent_ensemble.kind != "none":
        mistakes += _mistakes_of_ensemble(params)
    mistakes += [
        f"agents.{name}.device: trpo differentiates a fine-tuned network twice, which recurrent layers do on the CPU "
        f"only, found {agent.device}; set cpu or leave out observe.fine_tuned"
        for name, agent in params.agents.items()
        if agent.kind == "trpo" and agent.observe.fine_tuned is not None and agent.device != "cpu"
    ]
    for name, agent in params.agents.items():
        mistakes += _mistakes_of_view(f"agents.{name}.observe", agent.observe, params)
    if "@" in params.tracking.uri.partition("//")[2].partition("/")[0]:
        mistakes.append("tracking.uri: credentials would be written to the log; set MLFLOW_TRACKING_URI instead")
    return mistakes


def _mistakes_of_range(where: str, bounds: SearchRange, config: Any, key: str) -> list[str]:
    """What is wrong with the ends of a searched range, or with the choices, as values of the parameter `key`."""
    kind: Any = get_type_hints(type(config), include_extras=True).get(key)
    values = bounds.choices or [end for end in (bounds.low, bounds.high) if end is not None]
    mistakes = []
    for value in values if kind is not None else ():
        try:
            parse(kind, [value] if bounds.lengths else value, where)
        except UserError as error:
            mistakes.append(str(error))
    return mistakes


def _mistakes_of_ensemble(params: Params) -> list[str]:
    mistakes = []
    trading, agents = params.trading, params.agents
    if trading.scheme not in ENSEMBLE_SCHEMES or trading.account != "per_symbol":
        mistakes.append(
            f"agent_ensemble.kind: {params.agent_ensemble.kind} combines positions: expected trading.scheme "
            f"{' or '.join(ENSEMBLE_SCHEMES)} with account per_symbol, found {trading.scheme} with {trading.account}; "
            "change them or set none"
        )
    if len(agents) < 2:
        mistakes.append(f"agent_ensemble.kind: expected two agents or more, found {len(agents)}; add one or set none")
    first, *others = agents
    mistakes += [
        f"agent_ensemble.kind: expected agents that observe the same, found agents.{name}.observe unlike "
        f"agents.{first}.observe; make them equal or set none"
        for name in others
        if agents[name].observe != agents[first].observe
    ]
    mistakes += [
        f"agent_ensemble.kind: expected agents that observe the same, found agents.{name}.observe.fine_tuned, which "
        "gives each agent a network of its own; set either to none"
        for name, agent in agents.items()
        if agent.observe.fine_tuned is not None
    ]
    return mistakes


def _mistakes_of_view(where: str, observe: ObserveConfig, params: Params) -> list[str]:
    """What is wrong with the forecasters that an agent observes."""
    forecasters = [*params.predictors, ENSEMBLE]
    mistakes: list[str] = [
        f"{where}.predictors: unknown predictor {name!r}; {suggest(name, forecasters)}"
        for name in observe.predictors or ()
        if name not in forecasters
    ]
    sizes = {name: getattr(config, "embedding_size", 0) for name, config in params.predictors.items()}
    embedded = [("embeddings", name) for name in observe.embeddings]
    embedded += [] if observe.fine_tuned is None else [("fine_tuned", observe.fine_tuned)]
    for key, name in embedded:
        if name not in sizes:
            mistakes.append(f"{where}.{key}: unknown predictor {name!r}; {suggest(name, sizes)}")
        elif not sizes[name]:
            mistakes.append(
                f"{where}.{key}: {name!r} has no embedding; set predictors.{name}.embedding_size if it is a "
                "network, or leave it out"
            )
    for key in ("features", "predictors", "embeddings"):
        names = getattr(observe, key) or ()
        if repeated := [name for place, name in enumerate(names) if name in names[:place]]:
            mistakes.append(f"{where}.{key}: {repeated[0]!r} is listed twice; list each name once")
    return mistakes
