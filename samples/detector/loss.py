"""What the sample detector learns from: task-aligned assignment and the loss on top of it.

Written from the papers: TOOD (Feng et al., 2021) for the assignment, GIoU (Rezatofighi et al.,
2019) for the boxes. Needs torch.
"""

# mypy: no-warn-return-any, allow-untyped-decorators
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from detector.data import LEAST_VISIBLE

CANDIDATES = 10  # cells per object that may learn it
SCORE_POWER, OVERLAP_POWER = 0.5, 4.0


@dataclass
class Targets:
    """Per cell: the wished class scores, the wished box, and whether it counts."""

    scores: Tensor  # [b, n, classes]
    corners: Tensor  # [b, n, 4]
    weight: Tensor  # [b, n], the wished score of the assigned class, 0 for background
    counts: Tensor  # [b, n], 0 where the cell lies in a hardly visible object


def overlap(a: Tensor, b: Tensor, general: bool = False) -> Tensor:
    """IoU of corner boxes (broadcast), or its generalised form for the loss."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    both = (high - low).clamp(min=0).prod(-1)
    area_a, area_b = ((x[..., 2:] - x[..., :2]).clamp(min=0).prod(-1) for x in (a, b))
    union = area_a + area_b - both + 1e-7
    if not general:
        return both / union
    low, high = torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:])
    hull = (high - low).prod(-1) + 1e-7
    return both / union - (hull - union) / hull


def inside(points: Tensor, corners: Tensor) -> Tensor:
    """Which cell centres lie in which boxes, [b, m, n]."""
    gap = torch.cat([points - corners[..., None, :2], corners[..., None, 2:] - points], -1)
    return gap.amin(-1) > 0


@torch.no_grad()
def assign(points: Tensor, corners: Tensor, scores: Tensor, boxes: Tensor) -> Targets:
    """Give every visible object the cells that already find it best.

    `points` [n, 2], `corners` [b, n, 4] and `scores` [b, n, classes] are predictions, `boxes`
    [b, m, 6] the truth as rows of class, corners, visible share.
    """
    real, index = boxes[..., 0] >= 0, boxes[..., 0].clamp(min=0).long()
    wanted = real & (boxes[..., 5] >= LEAST_VISIBLE)
    within = inside(points, boxes[..., 1:5])
    iou = overlap(boxes[:, :, None, 1:5], corners[:, None]) * within
    own = scores.transpose(1, 2).gather(1, index[..., None].expand(-1, -1, len(points)))
    fit = own**SCORE_POWER * iou**OVERLAP_POWER
    fit = torch.where(within, fit + 1e-9, fit) * wanted[..., None]
    sole, owner = _settle(fit, iou)
    taken = sole.any(1)
    share = fit / ((fit * sole).amax(2, keepdim=True) + 1e-9)
    weight = (share * (iou * sole).amax(2, keepdim=True) * sole).amax(1)
    wish = functional.one_hot(index.gather(1, owner), scores.shape[2]) * weight[..., None]
    true = boxes[..., 1:5].gather(1, owner[..., None].expand(-1, -1, 4))
    faint = (within & (real & ~wanted)[..., None]).any(1)
    return Targets(wish, true, weight, (taken | ~faint).to(weight.dtype))


def _settle(fit: Tensor, iou: Tensor) -> tuple[Tensor, Tensor]:
    """The best cells of every object; a cell that several want goes to the one it fits best.

    Returns who has which cell [b, m, n] and the owner of each cell [b, n].
    """
    best = fit.topk(min(CANDIDATES, fit.shape[2]), dim=2)
    hit = (best.values > 0).to(fit.dtype)
    chosen = torch.zeros_like(fit).scatter_(2, best.indices, hit) > 0
    owner = torch.where(chosen, iou + 1e-6, 0.0).argmax(1)
    return chosen & (torch.arange(fit.shape[1])[:, None] == owner[:, None]), owner


def loss(points: Tensor, sides: Tensor, logits: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Score loss and box loss of one batch; add them with weights of your choice."""
    corners = torch.cat([points - sides[..., :2], points + sides[..., 2:]], -1)
    goal = assign(points, corners.detach(), logits.detach().sigmoid(), boxes)
    total = goal.weight.sum().clamp(min=1.0)
    wrong = functional.binary_cross_entropy_with_logits(logits, goal.scores, reduction="none").sum(
        2
    )
    hit = goal.weight > 0
    apart = 1.0 - overlap(corners[hit], goal.corners[hit], general=True)
    return (wrong * goal.counts).sum() / total, (apart * goal.weight[hit]).sum() / total
