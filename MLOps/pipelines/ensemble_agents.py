"""The agents combined into one, fitted on the validation span; nothing to do unless params.yaml names a kind."""

from MLOps.artifacts import read_json, read_table, whole_folder, write_json
from MLOps.config.params import load_params
from MLOps.pipelines import paths
from MLOps.pipelines.declaration import do_nothing
from MLOps.training.seeds import derive_seed


def main() -> None:
    params = load_params()
    if params.data.source == "labelled":
        do_nothing("ensemble_agents", "", "a labelled table has no prices to trade")
        return
    if params.agent_ensemble.kind == "none":
        do_nothing("ensemble_agents", "", "agent_ensemble.kind is none")
        # DVC warns of an empty folder in every stage.
        write_json(paths.AGENT_ENSEMBLE / "none.json", {"members": []})
        return
    fit()


def fit() -> None:
    """Fit the ensemble, and compare it with its members on the span of the fit."""
    # They take seconds to import, which a stage with nothing to do is spared.
    from MLOps.agents.ensemble_fitting import fit_ensemble
    from MLOps.agents.policy import Agent
    from MLOps.data.splits import Splits
    from MLOps.evaluation.report import ENSEMBLE
    from MLOps.features.dataset import read_features
    from MLOps.pipelines.stage import Stage
    from MLOps.trading import simulate
    from MLOps.training.determinism import seed_torch

    with Stage("ensemble_agents") as stage:
        seed_torch(stage.params.seed, stage.params.threads)
        members = {name: Agent.load(paths.AGENTS / name) for name in stage.params.agents}
        first = next(iter(members.values()))
        bars, signals = read_table(paths.BARS), read_table(paths.SIGNALS)
        features = read_features(paths.FEATURES)
        span = Splits.from_dict(read_json(paths.SPLITS)).validation
        validation = first.market(bars, features, signals, first.trading).between(span.start, span.end)
        seed = derive_seed(stage.params.seed, "agent_ensemble")
        ensemble = fit_ensemble(stage.params.agent_ensemble, members, validation, seed)
        with whole_folder(paths.AGENT_ENSEMBLE) as folder:
            ensemble.save(folder)
        # The ensemble was fitted on this span and the members were selected on it: both are biased upwards.
        policies = {name: agent.policy() for name, agent in members.items()} | {ENSEMBLE: ensemble.policy()}
        for name, policy in policies.items():
            rewards = simulate(policy, validation, ensemble.trading).rewards
            stage.report({f"fitted_validation_reward_{name}": float(rewards.mean())})
        if ensemble.selector is None:
            stage.report({f"weight_{name}": w for name, w in zip(members, ensemble.weights, strict=True)})


if __name__ == "__main__":
    main()
