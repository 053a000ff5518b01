"""The full state of a stable-baselines3 learner as arrays and JSON values.

stable-baselines3's own `save` leaves out what an exact resume needs: environments, last observations, generators, and
recurrent states. The state is taken and restored at one place, `on_rollout_start` of a callback, where no local
variable of the training loop holds anything that a new loop would not set likewise.

The parts of a state are named the same in arrays (`part.…`) and in metadata (`part`).
"""

import random
from collections import deque
from collections.abc import Iterator, Mapping
from numbers import Real
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.noise import ActionNoise, VectorizedActionNoise

Arrays = dict[str, np.ndarray]

# Wall clock; it reaches only metrics of time, which are not kept.
NOT_STATE = ("start_time",)


def capture(learner: BaseAlgorithm) -> tuple[Arrays, dict[str, Any]]:
    """The state of a learner of stable-baselines3 or sb3-contrib, or one derived from theirs.

    Its environments have `get_state()`, which returns arrays by name, and `set_state(arrays)`; so does a replay buffer
    that keeps more than stable-baselines3's arrays of rows. Numbers and tensors among the learner's own attributes are
    captured whatever their names.

    Returns:
        Arrays, which may share memory with the learner, so write them before it learns on; and JSON values.
    """
    arrays = {f"policy.{name}": _array(tensor) for name, tensor in learner.policy.state_dict().items()}
    metadata: dict[str, Any] = {"optimisers": {}}
    for name, optimiser in optimisers(learner).items():
        state = optimiser.state_dict()
        numbers: dict[str, dict[str, Any]] = {}
        for parameter, moments in state["state"].items():
            for moment, value in moments.items():
                if isinstance(value, torch.Tensor):
                    arrays[f"optimisers.{name}.{parameter}.{moment}"] = _array(value)
                else:
                    numbers.setdefault(str(parameter), {})[moment] = value
        metadata["optimisers"][name] = {"groups": state["param_groups"], "numbers": numbers}
    arrays |= {f"tensors.{name}": _array(tensor) for name, tensor in _tensors(learner).items()}
    metadata["counters"] = {
        name: value
        for name, value in vars(learner).items()
        if isinstance(value, bool | int | float) and name not in NOT_STATE
    }
    metadata["episodes"] = [list(learner.ep_info_buffer or ()), list(learner.ep_success_buffer or ())]
    # What was recorded since the metrics were last written.
    pending = learner.logger
    metadata["log"] = {
        name: [float(value), pending.name_to_count[name], pending.name_to_excluded[name]]
        for name, value in pending.name_to_value.items()
        if isinstance(value, Real)
    }
    arrays["last_observations.0"] = np.array(learner._last_obs)
    arrays["episode_starts.0"] = np.array(learner._last_episode_starts)
    arrays |= {f"environments.{name}": array for name, array in _environments(learner).get_state().items()}
    arrays |= {f"recurrent.{number}": _array(tensor) for number, tensor in enumerate(_recurrent(learner))}
    arrays |= {f"exploration.{name}": _array(getattr(*place)) for name, place in _exploration(learner)}
    arrays |= {f"noise.{number}": noise.noise_prev for number, noise in enumerate(_noises(learner))}
    _capture_generators(learner, arrays, metadata)
    _capture_replay(learner, arrays, metadata)
    return arrays, metadata


def restore(learner: BaseAlgorithm, arrays: Arrays, metadata: Mapping[str, Any]) -> None:
    """Continue, in a new learner of the same configuration and environments, where another's state was captured.

    Raises:
        RuntimeError, KeyError, UserError: the state is that of another kind of learner.
    """
    parts = by_part(arrays)
    moments: dict[str, dict[int, dict[str, Any]]] = {}
    for path, array in parts.get("optimisers", {}).items():
        name, parameter, moment = path.rsplit(".", 2)
        # A copy, since the optimiser writes to its moments.
        moments.setdefault(name, {}).setdefault(int(parameter), {})[moment] = torch.tensor(array)
    learner.policy.load_state_dict({name: torch.from_numpy(array) for name, array in parts["policy"].items()})
    for name, optimiser in optimisers(learner).items():
        saved = metadata["optimisers"][name]
        state = moments.get(name, {})
        for parameter, numbers in saved["numbers"].items():
            state.setdefault(int(parameter), {}).update(numbers)
        optimiser.load_state_dict({"state": state, "param_groups": saved["groups"]})
    for name, tensor in _tensors(learner).items():
        _write(tensor, parts["tensors"][name])
    vars(learner).update(metadata["counters"])
    infos, successes = metadata["episodes"]
    learner.ep_info_buffer = deque(infos, maxlen=learner._stats_window_size)
    learner.ep_success_buffer = deque(successes, maxlen=learner._stats_window_size)
    for name, (value, count, excluded) in metadata["log"].items():
        learner.logger.name_to_value[name] = value
        learner.logger.name_to_count[name] = count
        learner.logger.name_to_excluded[name] = tuple(excluded)
    _environments(learner).set_state(parts["environments"])
    learner._last_obs = np.array(parts["last_observations"]["0"])
    learner._last_episode_starts = np.array(parts["episode_starts"]["0"])
    for number, tensor in enumerate(_recurrent(learner)):
        _write(tensor, parts["recurrent"][str(number)])
    for name, (owner, attribute) in _exploration(learner):
        setattr(owner, attribute, torch.tensor(parts["exploration"][name], device=learner.device))
    for number, noise in enumerate(_noises(learner)):
        noise.noise_prev = np.array(parts["noise"][str(number)])
    _restore_replay(learner, parts, metadata)
    _restore_generators(learner, parts["generators"], metadata["generators"])


def optimisers(learner: BaseAlgorithm) -> dict[str, torch.optim.Optimizer]:
    """The optimisers of the learner and of its policy's modules, by place."""
    owners = {"learner": learner, **dict(learner.policy.named_modules(prefix="policy"))}
    return {
        f"{place}.{name}": value
        for place, owner in owners.items()
        for name, value in vars(owner).items()
        if isinstance(value, torch.optim.Optimizer)
    }


def _tensors(learner: BaseAlgorithm) -> dict[str, torch.Tensor]:
    """Tensors outside the policy, such as the entropy coefficient's logarithm."""
    return {name: value for name, value in vars(learner).items() if isinstance(value, torch.Tensor)}


def _environments(learner: BaseAlgorithm) -> Any:
    return learner.env


def _recurrent(learner: BaseAlgorithm) -> list[torch.Tensor]:
    """Hidden and cell states of the actor's and the critic's LSTM."""
    return [tensor for pair in getattr(learner, "_last_lstm_states", None) or () for tensor in pair]


def _exploration(learner: BaseAlgorithm) -> Iterator[tuple[str, tuple[Any, str]]]:
    """The drawn matrices of generalised state-dependent exploration (Raffin et al., 2022): name, owner, attribute."""
    if learner.use_sde:
        for place, module in learner.policy.named_modules(prefix="policy"):
            distribution = getattr(module, "action_dist", None)
            for name in ("exploration_mat", "exploration_matrices"):
                if hasattr(distribution, name):
                    yield f"{place}.{name}", (distribution, name)


def _noises(learner: BaseAlgorithm) -> list[Any]:
    """The action noise of each environment, where it depends on the previous noise."""
    noise: ActionNoise | None = learner.action_noise
    noises = noise.noises if isinstance(noise, VectorizedActionNoise) else [noise]
    return [each for each in noises if hasattr(each, "noise_prev")]


def _capture_generators(learner: BaseAlgorithm, arrays: Arrays, metadata: dict[str, Any]) -> None:
    arrays["generators.torch"] = torch.get_rng_state().numpy()
    if learner.device.type == "cuda":
        arrays["generators.cuda"] = torch.cuda.get_rng_state(learner.device).numpy()
    name, keys, *rest = np.random.get_state(legacy=True)
    arrays["generators.numpy"] = np.asarray(keys)
    metadata["generators"] = {
        "numpy": [name, *rest],
        "python": random.getstate(),
        "action_space": learner.action_space.np_random.bit_generator.state,
    }


def _restore_generators(learner: BaseAlgorithm, arrays: Arrays, metadata: Mapping[str, Any]) -> None:
    torch.set_rng_state(torch.tensor(arrays["torch"]))
    if learner.device.type == "cuda":
        torch.cuda.set_rng_state(torch.tensor(arrays["cuda"]), learner.device)
    name, *rest = metadata["numpy"]
    np.random.set_state((name, arrays["numpy"], *rest))
    version, state, following = metadata["python"]
    random.setstate((version, tuple(state), following))
    learner.action_space.np_random.bit_generator.state = metadata["action_space"]


def _capture_replay(learner: BaseAlgorithm, arrays: Arrays, metadata: dict[str, Any]) -> None:
    buffer: Any = getattr(learner, "replay_buffer", None)
    if hasattr(buffer, "get_state"):
        arrays |= {f"replay.{name}": np.asarray(value) for name, value in buffer.get_state().items()}
    elif buffer is not None:
        arrays |= {f"replay.{name}": array[: buffer.size()] for name, array in _rows(buffer).items()}
        metadata["replay"] = {"pos": buffer.pos, "full": buffer.full}


def _restore_replay(learner: BaseAlgorithm, parts: Mapping[str, Arrays], metadata: Mapping[str, Any]) -> None:
    buffer: Any = getattr(learner, "replay_buffer", None)
    if hasattr(buffer, "set_state"):
        buffer.set_state(parts["replay"])
    elif buffer is not None:
        vars(buffer).update(metadata["replay"])
        for name, array in _rows(buffer).items():
            array[: buffer.size()] = parts["replay"][name]


def _rows(buffer: Any) -> Arrays:
    """A replay buffer's arrays, (rows, environments, …)."""
    return {name: value for name, value in vars(buffer).items() if isinstance(value, np.ndarray)}


def _write(tensor: torch.Tensor, array: np.ndarray) -> None:
    """In place, so that an optimiser keeps its parameter."""
    with torch.no_grad():
        tensor.copy_(torch.tensor(array))


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()


def by_part(arrays: Arrays) -> dict[str, Arrays]:
    """Arrays named `part.rest` as one dictionary for each part, by the rest of their names."""
    parts: dict[str, Arrays] = {}
    for name, array in arrays.items():
        part, _, rest = name.partition(".")
        parts.setdefault(part, {})[rest] = array
    return parts
