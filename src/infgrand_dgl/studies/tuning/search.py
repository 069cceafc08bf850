"""What to try next, and which settings mattered: Optuna's TPE and fANOVA.

Both are functions of the trials so far, so that a search that was interrupted goes on as if it had
not been.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import InputError
from .space import Choices, Range, Space
from .trials import Trial, finished

ATTEMPTS = 16
STATES = {"running": "RUNNING", "finished": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}


def require_optuna() -> Any:
    """
    Raises:
        InputError: it is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise InputError("tune: Optuna is not installed (pip install infgrand-dgl[tune])") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def suggest(
    space: Space, trials: Sequence[Trial], number: int, seed: int, sign: int
) -> dict[str, Any]:
    """Values for the trial of that number, by the tree-structured Parzen estimator (Bergstra et
    al., 2011); those of running trials count as bad, so that others are tried beside them. What it
    draws that has been tried is drawn again, at last at random; there may be nothing else."""
    optuna = require_optuna()
    tried, values = [trial.values for trial in trials], {}
    random = np.random.SeedSequence((seed, number)).generate_state(2 * ATTEMPTS)
    for attempt, own in enumerate(random.tolist()):
        of = optuna.samplers.TPESampler if attempt < ATTEMPTS else optuna.samplers.RandomSampler
        study = _study(space, trials, sign, of(seed=own))
        trial = study.ask(_distributions(space))
        values = {key: _read(part, trial.params[key]) for key, part in space.items()}
        if values not in tried:
            break
    return values


def importances(space: Space, trials: Sequence[Trial], sign: int) -> dict[str, float]:
    """The share of the scores' variance that each key explains alone (fANOVA, Hutter et al.,
    2014), the largest first; nothing where there is too little to tell."""
    optuna = require_optuna()
    done = finished(list(trials))
    varied = [key for key in space if len({repr(trial.values[key]) for trial in done}) > 1]
    if len({trial.score for trial in done}) < 2 or len(done) < 4 or not varied:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    study = _study(space, done, sign, optuna.samplers.RandomSampler(seed=0))
    found = optuna.importance.get_param_importances(study, evaluator=evaluator, params=varied)
    return {key: float(share) for key, share in found.items()}


def _study(space: Space, trials: Sequence[Trial], sign: int, sampler: Any) -> Any:
    optuna = require_optuna()
    distributions = _distributions(space)
    direction = "maximize" if sign > 0 else "minimize"
    study = optuna.create_study(sampler=sampler, direction=direction)
    for trial in trials:
        study.add_trial(
            optuna.trial.create_trial(
                state=getattr(optuna.trial.TrialState, STATES[trial.state]),
                value=trial.score if trial.state in ("finished", "pruned") else None,
                params={key: _written(part, trial.values[key]) for key, part in space.items()},
                distributions=distributions,
            )
        )
    return study


def _distributions(space: Space) -> dict[str, Any]:
    return {key: _distribution(part) for key, part in space.items()}


def _distribution(part: Choices | Range) -> Any:
    d = require_optuna().distributions
    if isinstance(part, Choices):  # by their place: any value can be one
        return d.CategoricalDistribution(range(len(part.values)))
    if part.whole:
        step = 1 if part.step is None else int(part.step)
        return d.IntDistribution(int(part.low), int(part.high), log=part.log, step=step)
    return d.FloatDistribution(part.low, part.high, log=part.log, step=part.step)


def _written(part: Choices | Range, value: Any) -> Any:
    return part.values.index(value) if isinstance(part, Choices) else value


def _read(part: Choices | Range, value: Any) -> Any:
    """Numbers of a continuous range have four digits, as a recipe would."""
    if isinstance(part, Choices):
        return part.values[value]
    if part.whole:
        return int(value)
    digits = 4 if part.step is None else 10  # of a step what rounding has left is cut off
    return min(max(float(f"{value:.{digits}g}"), part.low), part.high)
