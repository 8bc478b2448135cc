"""The network of the sample detector: small, convolutional, anchor-free, strides 8, 16, 32.

Needs torch, which the project itself does not.
"""

# mypy: allow-subclassing-any, no-warn-return-any, allow-untyped-calls
from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

STRIDES = (8, 16, 32)
RARE = -math.log(99.0)  # the logit of 1 %: most cells show no object


class Conv(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, cin: int, cout: int, size: int = 3, stride: int = 1, groups: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, size, stride, size // 2, 1, groups, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(cout, eps=1e-3, momentum=0.03)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.norm(self.conv(x)))

    def fold(self) -> None:
        """Merge the norm into the convolution; for inference only."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(self.conv, self.norm)
            self.norm = nn.Identity()


class Residual(nn.Module):
    """Two 3x3 convolutions around which the input is added."""

    def __init__(self, width: int):
        super().__init__()
        self.body = nn.Sequential(Conv(width, width), Conv(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Split(nn.Module):
    """Half of the channels passes through residual blocks, the other half goes around."""

    def __init__(self, cin: int, cout: int, depth: int):
        super().__init__()
        half = cout // 2
        self.around, self.enter = Conv(cin, half, 1), Conv(cin, half, 1)
        self.body = nn.Sequential(*(Residual(half) for _ in range(depth)))
        self.join = Conv(2 * half, cout, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.join(torch.cat([self.around(x), self.body(self.enter(x))], 1))


class Context(nn.Module):
    """Sees far: pools with growing windows and mixes (as in spatial pyramid pooling)."""

    def __init__(self, width: int):
        super().__init__()
        self.enter, self.leave = Conv(width, width // 2, 1), Conv(2 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        views = [self.enter(x)]
        for _ in range(3):
            views.append(functional.max_pool2d(views[-1], 5, 1, 2))
        return self.leave(torch.cat(views, 1))


class Tower(nn.Module):
    """One branch of the head: depthwise separable convolutions, then a linear map.

    Everywhere it first answers `start`.
    """

    def __init__(self, width: int, out: int, start: float):
        super().__init__()
        pairs = [(Conv(width, width, 3, 1, width), Conv(width, width, 1)) for _ in range(2)]
        self.body = nn.Sequential(*(conv for pair in pairs for conv in pair))
        self.out = nn.Conv2d(width, out, 1)
        self.out.bias = nn.Parameter(torch.full((out,), start))

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.body(x))


class Street(nn.Module):
    """Pictures [batch, 3, H, W] in 0..1 to [batch, 4 + classes, cells]: cx, cy, w, h, scores."""

    def __init__(self, classes: int, width: int = 48):
        super().__init__()
        w = width
        self.stem = nn.Sequential(Conv(3, 16, 3, 2), Conv(16, 24, 3, 2))
        self.c3 = nn.Sequential(Conv(24, w, 3, 2), Split(w, w, 2))
        self.c4 = nn.Sequential(Conv(w, 80, 3, 2), Split(80, 80, 2))
        self.c5 = nn.Sequential(Conv(80, 128, 3, 2), Split(128, 128, 1), Context(128))
        self.lateral = nn.ModuleList([Conv(w, w, 1), Conv(80, w, 1), Conv(128, w, 1)])
        self.down_path = nn.ModuleList([Split(2 * w, w, 1), Split(2 * w, w, 1)])
        self.shrink = nn.ModuleList([Conv(w, w, 3, 2), Conv(w, w, 3, 2)])
        self.up_path = nn.ModuleList([Split(2 * w, w, 1), Split(2 * w, w, 1)])
        self.sides = nn.ModuleList([Tower(w, 4, 1.5) for _ in STRIDES])
        self.names = nn.ModuleList([Tower(w, classes, RARE) for _ in STRIDES])

    def features(self, x: Tensor) -> list[Tensor]:
        """The three maps that the head reads, finest first."""
        p3 = self.c3(self.stem(x))
        p4 = self.c4(p3)
        p5 = self.c5(p4)
        p3, p4, p5 = (layer(p) for layer, p in zip(self.lateral, (p3, p4, p5), strict=True))
        p4 = self.down_path[0](torch.cat([p4, functional.interpolate(p5, scale_factor=2.0)], 1))
        p3 = self.down_path[1](torch.cat([p3, functional.interpolate(p4, scale_factor=2.0)], 1))
        p4 = self.up_path[0](torch.cat([p4, self.shrink[0](p3)], 1))
        p5 = self.up_path[1](torch.cat([p5, self.shrink[1](p4)], 1))
        return [p3, p4, p5]

    def raw(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Distances to the four sides in pixels [b, n, 4] and class logits [b, n, classes]."""
        maps = self.features(x)
        sides = [
            functional.softplus(flat(tower(p))) * stride
            for tower, p, stride in zip(self.sides, maps, STRIDES, strict=True)
        ]
        names = [flat(tower(p)) for tower, p in zip(self.names, maps, strict=True)]
        return torch.cat(sides, 2).transpose(1, 2), torch.cat(names, 2).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        sides, names = self.raw(x)
        corners = spread(grid(int(x.shape[2]), int(x.shape[3])), sides)
        low, high = corners[..., :2], corners[..., 2:]
        return torch.cat([(low + high) / 2, high - low, names.sigmoid()], 2).transpose(1, 2)

    def fold(self) -> Street:
        """Merge every batch norm into its convolution; returns itself, ready to export."""
        self.eval()
        for part in self.modules():
            if isinstance(part, Conv):
                part.fold()
        return self


def flat(x: Tensor) -> Tensor:
    """[b, c, h, w] as [b, c, cells]; only the batch stays free in the exported graph."""
    return x.reshape(-1, int(x.shape[1]), int(x.shape[2]) * int(x.shape[3]))


def grid(height: int, width: int) -> Tensor:
    """Centres of all cells in input pixels, [n, 2], in the order of the head's output."""
    points = []
    for stride in STRIDES:
        y = (torch.arange(height // stride) + 0.5) * stride
        x = (torch.arange(width // stride) + 0.5) * stride
        points.append(torch.stack(torch.meshgrid(x, y, indexing="xy"), 2).reshape(-1, 2))
    return torch.cat(points)


def spread(points: Tensor, sides: Tensor) -> Tensor:
    """Corner boxes from cell centres and distances to left, top, right, bottom."""
    return torch.cat([points - sides[..., :2], points + sides[..., 2:]], -1)
