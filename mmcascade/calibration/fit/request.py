# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What is asked of a calibration."""

from __future__ import annotations

from dataclasses import dataclass, fields

from mmcascade.calibration.fit.target import Target
from mmcascade.evaluation.curves.inputs import as_fraction
from mmcascade.routing.checks import is_whole
from mmcascade.routing.policies.adjusted_window_policy import MIN_SCORES

RULES = ('safe', 'paper')
FIT_ON = ('reached', 'all')
MAPS = ('none', 'isotonic')
TEMPERATURES = ('auto', 'fit', 'none')
WINDOWS = ('one-sided', 'two-sided')

#: What places windows around a decision to accept, and so means nothing where there is none.
_WINDOWS = ('rule', 'fit_on', 'half_width')


@dataclass(frozen=True)
class CalibrationRequest:
    """Everything that can be asked for, checked before any long run.

    Attributes:
        target: what to reach on the calibration data: 'risk=', 'coverage=' or 'tpr=' for windows around that decision;
            'accuracy=', 'miou=', 'iou[class]=', 'macs=', 'deferred=' or 'exits=' for one-sided thresholds.
        accept: target of the accept threshold. By default the target itself if it is a decision, else there is none.
        half_width, rule, fit_on: see :func:`~mmcascade.calibration.fit.two_sided.windows.fit_windows`.
        maps: 'none', or 'isotonic' for a monotone map per exit from score to probability of being right.
        temperatures: 'fit' for the temperature per stage with the lowest negative log-likelihood, 'none' for 1, and
            'auto' to fit where that is worth more than its noise, see
            :func:`~mmcascade.calibration.fit.scores.temperatures.try_temperature`.
        certify: probability with which the promised risk may be exceeded; None promises nothing.
        certify_share: share of the units that the promise is tested on, and nothing else. Of the shares
            tried, 0.8 certifies a little more coverage than 0.7, but of few units it more often certifies nothing.
        seed: of the draw of those.
        adjust_on: name of unlabelled images that the window of gap 0 is re-centred on, once.
        adapt: how many scores the cascade is to remember at run time, to re-centre the window of gap 0; None = it
            keeps its windows.
        max_cells: how many cells of an image may go on after stage 0 of a segmentation cascade, which bounds the cost
            of the worst image; None = any number.
        windows: of a segmentation cascade, 'one-sided': the least confident cells go on; or 'two-sided': not those
            that are so uncertain that the next stage does not help.

    Raises:
        ValueError: if what is asked for is out of range or contradicts itself.

    Example:
        >>> CalibrationRequest('risk=0.05', certify=0.1).given
        ['certify']
    """

    target: str
    accept: str | None = None
    half_width: float = 0.10
    rule: str = 'safe'
    fit_on: str = 'reached'
    maps: str = 'none'
    temperatures: str = 'auto'
    certify: float | None = None
    certify_share: float = 0.7
    seed: int = 0
    adjust_on: str | None = None
    adapt: int | None = None
    max_cells: int | None = None
    windows: str = 'one-sided'

    def __post_init__(self) -> None:
        for name, known in (
            ('rule', RULES),
            ('fit_on', FIT_ON),
            ('maps', MAPS),
            ('temperatures', TEMPERATURES),
            ('windows', WINDOWS),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f'{name} must be one of {known}, got {getattr(self, name)!r}')
        as_fraction(self.half_width, 'half_width')
        if not 0 < self.certify_share < 1:
            raise ValueError(
                'the share of units that a guarantee is tested on lies strictly between 0 and 1, got '
                f'{self.certify_share!r}'
            )
        if self.adapt is not None and not is_whole(self.adapt, MIN_SCORES):
            raise ValueError(f'the memory is a number of scores, at least {MIN_SCORES}, got {self.adapt!r}')
        if self.max_cells is not None and not is_whole(self.max_cells, 1):
            raise ValueError(f'max_cells is a number of cells of an image, at least 1, got {self.max_cells!r}')
        self._check_decision()
        if self.certify is not None:
            self._check_promise()

    @property
    def wanted(self) -> Target:
        """The target, read."""
        return Target.parse(self.target)

    @property
    def accept_target(self) -> str | None:
        """What the accept threshold is to reach; None where there is none."""
        return self.accept or (self.target if self.wanted.is_decision else None)

    @property
    def accepting(self) -> Target | None:
        """The same, read."""
        return None if self.accept_target is None else Target.parse(self.accept_target)

    @property
    def follows_stream(self) -> bool:
        """Whether the window of gap 0 is adjusted to unlabelled scores, once or at run time."""
        return self.adapt is not None or self.adjust_on is not None

    @property
    def given(self) -> list[str]:
        """Names of what differs from its default."""
        return [field.name for field in fields(self)[1:] if getattr(self, field.name) != field.default]

    def check_classifier(self) -> None:
        """Raise ValueError if something is asked for that a cascade of classifiers has not."""
        self._refuse(
            ('max_cells', 'windows'),
            'a cascade of classifiers has no cells; the target says of which kind its windows are',
        )
        if self.wanted.kind in ('miou', 'iou'):
            raise ValueError(
                f'{self.target} is a target of segmentation cascades; a classifier has accuracy=, macs=, deferred= or '
                'exits='
            )
        if not self.wanted.is_decision:
            self._refuse(
                _WINDOWS,
                f'they place windows around a decision, and {self.target} gives one-sided thresholds',
            )

    def check_segmentor(self) -> None:
        """Raise ValueError if something is asked for that a segmentation cascade has not."""
        wanted = [self.wanted, *([] if self.accept is None else [Target.parse(self.accept)])]
        if any(target.kind == 'tpr' for target in wanted):
            raise ValueError(
                'tpr= tells images from those out of distribution, of which segmentation cascades know nothing; '
                'their decisions are risk= and coverage='
            )
        if self.wanted.kind == 'exits':
            raise ValueError(
                f'{self.target} is a target of classifiers, whose images leave one by one; for cells take deferred='
            )
        if self.wanted.kind == 'accuracy':
            raise ValueError(
                f'{self.target} is a target of classifiers; the quality of segmentations is miou= or iou[class]='
            )
        self._refuse(('adjust_on', 'adapt'), 'cells of one image are no stream that a window could follow')
        self._refuse(
            ('maps', 'temperatures'), 'a segmentation cascade takes the temperatures of its config, and no maps'
        )
        self._refuse(('rule',), "the paper's rule counts images by the hundred; a decision on cells meets its target")
        if self.wanted.is_decision:
            self._refuse(('windows',), f'{self.target} places windows around a decision')
        else:
            self._refuse(_WINDOWS, f'they place windows around a decision, and {self.target} asks for none')

    def check_joined(self) -> None:
        """Raise ValueError if something is asked for that is not exact where a stage joins cells (``join=``)."""
        reason = (
            'a stage has join=, and accept thresholds and what is promised of them are fitted on crops of single '
            'cells; leave join= out of the stages for them'
        )
        self._refuse(('accept', 'certify'), reason)
        if self.wanted.is_decision:
            raise ValueError(f'{self.target} is a decision to accept: {reason}, or ask for miou=, iou[class]= or macs=')

    def _refuse(self, names: tuple[str, ...], reason: str) -> None:
        """What would be ignored is an error."""
        superfluous = [f'--{name.replace("_", "-")}' for name in names if name in self.given]
        if superfluous:
            raise ValueError(f'leave {", ".join(superfluous)} out: {reason}')

    def _check_decision(self) -> None:
        wanted = self.wanted
        if self.accept is not None:
            if not Target.parse(self.accept).is_decision:
                raise ValueError(f'an accept threshold is placed for risk=, coverage= or tpr=, got {self.accept!r}')
            if wanted.is_decision and Target.parse(self.accept) != wanted:
                raise ValueError(
                    f'the windows are to be placed for {self.target} and the accept threshold for {self.accept}: these '
                    'are one decision; give it once'
                )
        if self.follows_stream and not wanted.is_decision:
            raise ValueError(
                f'only a window around a decision can follow the scores it meets, and {self.target} gives '
                'one-sided thresholds; use risk=, coverage= or tpr='
            )

    def _check_promise(self) -> None:
        assert self.certify is not None
        if self.follows_stream:
            raise ValueError(
                'a guarantee holds for the windows it was made with: certify, or let the window follow the '
                'scores it meets, not both'
            )
        if not 0 < self.certify < 1:
            raise ValueError(
                f'the probability that a guarantee fails lies strictly between 0 and 1, got {self.certify!r}'
            )
        promised = Target.parse(self.accept or self.target)
        if promised.kind != 'risk' or not 0 < promised.value < 1:
            raise ValueError(
                f'only a risk strictly between 0 and 1 can be certified, such as risk=0.05; the accept '
                f'threshold is to reach {self.accept or self.target}'
            )
