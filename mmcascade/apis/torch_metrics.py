# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The selective curves as metrics of torchmetrics, for any training loop of torch."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmcascade._system.extras import needed_by
from mmcascade.evaluation.curves.inputs import as_fraction
from mmcascade.evaluation.curves.selective_curves import augrc, aurc, coverage_at_risk, e_aurc, risk_at_coverage

with needed_by('mmcascade.apis.torch_metrics'):
    from torchmetrics import Metric
    from torchmetrics.utilities import dim_zero_cat


class SelectiveMetric(Metric):
    """A summary of predictions ranked by confidence, over all batches and processes.

    Every prediction is kept as its confidence and whether it is wrong; equal confidences count as equal, in whatever
    order and batches they come. A variant says what is computed.

    Args:
        options: of :class:`torchmetrics.Metric`, such as ``dist_sync_fn``.
    """

    full_state_update = False
    is_differentiable = False
    confidence: list[Tensor]
    wrong: list[Tensor]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_state('confidence', [], dist_reduce_fx='cat')
        self.add_state('wrong', [], dist_reduce_fx='cat')

    def update(self, preds: Tensor, target: Tensor, confidence: Tensor | None = None) -> None:
        """Take in a batch.

        Args:
            preds: class probabilities ``(N, C)``; or, with a confidence, also predicted labels ``(N)``.
            target: true labels, int ``(N)``.
            confidence: score of each prediction ``(N)``, higher = more certain; by default the largest probability.

        Raises:
            ValueError: on other shapes, and on values that are no probabilities where these are the confidence.
        """
        if preds.dim() not in (1, 2) or target.shape != preds.shape[:1]:
            raise ValueError(
                f'preds are (N, classes) and target (N), got {tuple(preds.shape)} and {tuple(target.shape)}'
            )
        labels = preds if preds.dim() == 1 else preds.argmax(1)
        if confidence is None:
            if preds.dim() == 1:
                raise ValueError('labels alone have no confidence: give probabilities (N, classes), or confidence=')
            if len(preds) and not (preds.min() >= 0 and preds.max() <= 1 + 1e-3):
                raise ValueError(
                    'preds are probabilities in [0, 1], and these are not; give preds.softmax(1), or confidence='
                )
            confidence = preds.amax(1)
        if confidence.shape != labels.shape:
            raise ValueError(f'confidence is (N), got {tuple(confidence.shape)} for {len(labels)} predictions')
        narrow = confidence.dtype in (torch.float16, torch.bfloat16)
        self.confidence.append(confidence.detach().float() if narrow else confidence.detach())
        self.wrong.append(labels != target)

    def compute(self) -> Tensor:
        """The summary, a fraction.

        Raises:
            ValueError: before any batch, and on a confidence that is NaN.
        """
        if not len(self.confidence):
            raise ValueError(f'{type(self).__name__} has seen no batch')
        confidence, wrong = dim_zero_cat(self.confidence), dim_zero_cat(self.wrong)
        found = self.summary(confidence.cpu().numpy(), wrong.cpu().numpy())
        return torch.tensor(found, dtype=torch.float64, device=confidence.device)

    def plot(self, val: Any = None, ax: Any = None) -> Any:
        """Figure and axes of one value or several, as any metric of torchmetrics."""
        return self._plot(val, ax)

    @abstractmethod
    def summary(self, confidence: NDArray[Any], wrong: NDArray[np.bool_]) -> float:
        """What is computed of N predictions, see :mod:`mmcascade.evaluation.curves.selective_curves`."""


class AURC(SelectiveMetric):
    """Area under the risk-coverage curve, lower = better.

    Args:
        rule: 'mean' or 'trapezoid', see :func:`~mmcascade.evaluation.curves.selective_curves.aurc`.
        options: of :class:`torchmetrics.Metric`.

    Example:
        >>> metric = AURC()
        >>> metric.update(torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), torch.tensor([0, 1, 1]))
        >>> round(metric.compute().item(), 4)
        0.1111
    """

    higher_is_better = False
    plot_lower_bound, plot_upper_bound = 0.0, 1.0

    def __init__(self, rule: Literal['mean', 'trapezoid'] = 'mean', **options: Any) -> None:
        super().__init__(**options)
        aurc([0.5], [0], rule=rule)  # refuses an unknown one
        self.rule: Literal['mean', 'trapezoid'] = rule

    def summary(self, confidence: NDArray[Any], wrong: NDArray[np.bool_]) -> float:
        """See the base class."""
        return aurc(confidence, wrong, rule=self.rule)


class ExcessAURC(SelectiveMetric):
    """AURC less that of the best possible ranking, lower = better."""

    higher_is_better = False
    plot_lower_bound, plot_upper_bound = 0.0, 1.0

    def summary(self, confidence: NDArray[Any], wrong: NDArray[np.bool_]) -> float:
        """See the base class."""
        return e_aurc(confidence, wrong)


class AUGRC(SelectiveMetric):
    """Area under the generalised risk-coverage curve (Traub et al. 2024), lower = better."""

    higher_is_better = False
    plot_lower_bound, plot_upper_bound = 0.0, 0.5

    def summary(self, confidence: NDArray[Any], wrong: NDArray[np.bool_]) -> float:
        """See the base class."""
        return augrc(confidence, wrong)


class CoverageAtRisk(SelectiveMetric):
    """The largest share that can be accepted at a risk, higher = better.

    Args:
        risk: errors among the accepted, a fraction.
        options: of :class:`torchmetrics.Metric`.

    Example:
        >>> metric = CoverageAtRisk(risk=0.05)
        >>> metric.update(torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), torch.tensor([0, 1, 1]))
        >>> round(metric.compute().item(), 4)
        0.6667
    """

    higher_is_better = True
    plot_lower_bound, plot_upper_bound = 0.0, 1.0

    def __init__(self, risk: float, **options: Any) -> None:
        super().__init__(**options)
        self.risk = as_fraction(risk, 'risk')

    def summary(self, confidence: NDArray[Any], wrong: NDArray[np.bool_]) -> float:
        """See the base class."""
        return coverage_at_risk(confidence, wrong, self.risk)


class RiskAtCoverage(SelectiveMetric):
    """Errors among the most certain predictions, lower = better.

    Args:
        coverage: their share, a fraction.
        options: of :class:`torchmetrics.Metric`.
    """

    higher_is_better = False
    plot_lower_bound, plot_upper_bound = 0.0, 1.0

    def __init__(self, coverage: float, **options: Any) -> None:
        super().__init__(**options)
        self.coverage = as_fraction(coverage, 'coverage')

    def summary(self, confidence: NDArray[Any], wrong: NDArray[np.bool_]) -> float:
        """See the base class."""
        return risk_at_coverage(confidence, wrong, self.coverage)
