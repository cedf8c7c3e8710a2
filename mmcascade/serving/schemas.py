# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What the server answers, as OpenAPI describes it."""

from __future__ import annotations

from pydantic import BaseModel, Field


class DecisionRow(BaseModel):
    """One image: a decision, or why there is none."""

    image: str | None = Field(default=None, description="Name of the form's file; null for an image that came alone.")
    label: int | None = Field(default=None, description='Index of the most probable class, from 0.')
    class_name: str | None = Field(default=None, description='Its name, where the bundle has names.')
    confidence: float | None = Field(
        default=None, description='The score that is judged; null where no member was finite.'
    )
    accepted: bool | None = Field(
        default=None, description='Whether it reaches the accept threshold; null without one.'
    )
    exit_stage: int | None = Field(default=None, description='The stage after which the image left, from 0.')
    member: str | None = Field(default=None, description='The member that ran last.')
    macs: float | None = Field(default=None, description='Multiply-adds spent on the image.')
    top: list[tuple[int, float]] = Field(
        default=[], description='Best classes with their probabilities, as many as asked for.'
    )
    error: str | None = Field(default=None, description='Why the image could not be read.')


class Decisions(BaseModel):
    """The answer to a request, one row per image in their order."""

    bundle: str
    decisions: list[DecisionRow]


class CellRow(BaseModel):
    """One cell of an image."""

    box: tuple[int, int, int, int] = Field(description='x1, y1, x2, y2 in pixels of the image, ends exclusive.')
    confidence: float | None = Field(description='The score that is judged; null where there is none.')
    accepted: bool | None = Field(description='Whether it reaches the accept threshold; null without one.')
    exit_stage: int = Field(description='The stage after which the cell left, from 0.')
    macs: float = Field(description='Multiply-adds spent on the cell.')


class Labels(BaseModel):
    """The answer about an image whose pixels were labelled."""

    bundle: str
    height: int
    width: int
    macs: float = Field(description='Multiply-adds spent on the image.')
    mean_exit_stage: float = Field(description='By area.')
    confidence: float | None = Field(description="Mean of the cells' by area; null where there is none.")
    accepted: bool | None = Field(description='Whether it reaches the accept threshold of images; null without one.')
    cells: list[CellRow] = Field(description='Row by row.')
    labels: str = Field(description='A PNG in base64: the level of a pixel is the number of its class.')


class StageInfo(BaseModel):
    """A stage of a cascade."""

    member: str
    macs: float


class BundleInfo(BaseModel):
    """What a page needs to explain decisions."""

    name: str
    task: str
    num_classes: int
    classes: list[str] | None = Field(description='Their names; null where the bundle has none.')
    confidence: str
    fusion: str
    stages: list[StageInfo]
    windows: list[tuple[float | None, float | None] | None] = Field(description='Per gap; null where nobody goes on.')
    accept: float | None
    calibrated: bool = Field(description='Whether the bundle says what its calibration saw of exits.')


class Problem(BaseModel):
    """Why a request was not answered."""

    detail: str
