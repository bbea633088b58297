"""A Region Attention Network in PyTorch, written from the paper: the peer of ours, layer by layer.

ResNet-18 (He et al. 2016), self-attention, relation-attention, one Dense; cross-entropy plus the
region biased loss. Two ways through the backbone: one region after the other, as the released code
goes, or all regions folded into the batch.
"""

import torch
from torch import nn
from torch.nn import functional


class _Block(nn.Module):
    def __init__(self, before: int, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or before != width:
            self.downsample = nn.Sequential(
                nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        return functional.relu(self.bn2(self.conv2(x)) + shortcut, inplace=True)


class ResNet18(nn.Module):
    """[b, 3, h, w] -> [b, 512]."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        blocks, before = [], 64
        for stage in range(4):
            width = 64 * 2**stage
            for block in range(2):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(_Block(before, width, stride))
                before = width
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x):
        x = self.maxpool(functional.relu(self.bn1(self.conv1(x)), inplace=True))
        return self.blocks(x).mean((2, 3))


class RegionAttentionNetwork(nn.Module):
    """crops [b, k, 3, h, w] -> (logits [b, n], mu [b, k]).

    Args:
      num_classes: n.
      folded: send all regions of all faces through the backbone as one batch.
    """

    def __init__(self, num_classes: int = 8, *, folded: bool):
        super().__init__()
        self.folded = folded
        self.backbone = ResNet18()
        self.self_attention = nn.Linear(512, 1)
        self.relation_attention = nn.Linear(1024, 1)
        self.classifier = nn.Linear(1024, num_classes)

    def forward(self, crops):
        b, k, c, h, w = crops.shape
        if self.folded:
            # The regions of a face lie one after the other: no copy.
            folded = crops.reshape(b * k, c, h, w)
            features = self.backbone(folded.contiguous(memory_format=torch.channels_last))
            features = features.float().reshape(b, k, -1)
        else:
            features = torch.stack([self.backbone(crops[:, i]) for i in range(k)], dim=1)
        mu = torch.sigmoid(self.self_attention(features)).squeeze(-1)
        anchor = (mu[..., None] * features).sum(1) / mu.sum(1, keepdim=True)
        pairs = torch.cat([features, anchor[:, None].expand_as(features)], dim=-1)
        nu = torch.sigmoid(self.relation_attention(pairs)).squeeze(-1)
        weights = mu * nu
        face = (weights[..., None] * pairs).sum(1) / weights.sum(1, keepdim=True)
        return self.classifier(face), mu


def region_biased_loss(mu, margin: float = 0.02):
    """Mean of `max(0, margin - (max_{i>0} mu_i - mu_0))`."""
    return functional.relu(margin - (mu[:, 1:].amax(1) - mu[:, 0])).mean()
