"""The authors' released network in PyTorch, written from its description: what parity is held to.

Regions come with the original face last. With `relation` there is a softmax over the regions after
each sigmoid (`softmax=False` is the paper's form); without, the classifier reads the anchor feature
and `beta` is there and unused.
"""

import torch
from torch import nn

BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}


def conv_bn(before, after, kernel, stride=1):
    conv = nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False)
    return conv, nn.BatchNorm2d(after)


class Block(nn.Module):
    """A residual block, named as torchvision names it: conv1, bn1, conv2, ..., downsample."""

    def __init__(self, before, width, stride, *, bottleneck):
        super().__init__()
        kernels = (1, 3, 1) if bottleneck else (3, 3)
        after = 4 * width if bottleneck else width
        widths = [before, *[width] * (len(kernels) - 1), after]
        self.depth = len(kernels)
        for i, kernel in enumerate(kernels):
            step = stride if i == len(kernels) - 2 else 1
            conv, bn = conv_bn(widths[i], widths[i + 1], kernel, step)
            self.add_module(f"conv{i + 1}", conv)
            self.add_module(f"bn{i + 1}", bn)
        self.downsample = None
        if stride != 1 or before != after:
            self.downsample = nn.Sequential(*conv_bn(before, after, 1, stride))

    def forward(self, x):
        y = x
        for i in range(1, self.depth + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            y = y if i == self.depth else y.relu()
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class ReleasedRan(nn.Module):
    def __init__(self, backbone="resnet18", classes=8, *, relation=True, softmax=True):
        super().__init__()
        self.relation, self.softmax = relation, softmax
        self.conv1, self.bn1 = conv_bn(3, 64, 7, 2)
        self.pool = nn.MaxPool2d(3, 2, padding=1)
        before, bottleneck = 64, backbone == "resnet50"
        for stage, depth in enumerate(BLOCKS[backbone]):
            width = 64 * 2**stage
            blocks = []
            for i in range(depth):
                step = 2 if stage and not i else 1
                blocks.append(Block(before, width, step, bottleneck=bottleneck))
                before = 4 * width if bottleneck else width
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.alpha = nn.Sequential(nn.Linear(before, 1), nn.Sigmoid())
        self.beta = nn.Sequential(nn.Linear(2 * before, 1), nn.Sigmoid())
        self.fc = nn.Linear(2 * before if relation else before, classes)

    def features(self, x):
        x = self.pool(self.bn1(self.conv1(x)).relu())
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
        return x.mean((2, 3))

    def forward(self, x):
        """f32[b, k, 3, h, w] in 0..1 -> logits [b, n], mu and nu [b, k]."""
        b, k = x.shape[:2]
        f = self.features(x.flatten(0, 1)).reshape(b, k, -1)
        mu = self.alpha(f)[..., 0]
        if self.softmax:
            mu = mu.softmax(1)
        anchor = (mu[..., None] * f).sum(1) / mu.sum(1, keepdim=True)
        if not self.relation:
            return {"logits": self.fc(anchor), "mu": mu, "nu": torch.ones_like(mu)}
        pairs = torch.cat([f, anchor[:, None].expand_as(f)], dim=2)
        nu = self.beta(pairs)[..., 0]
        if self.softmax:
            nu = nu.softmax(1)
        weights = (mu * nu) / (mu * nu).sum(1, keepdim=True)
        return {"logits": self.fc((weights[..., None] * pairs).sum(1)), "mu": mu, "nu": nu}

    def loss(self, outputs, labels, *, margin):
        """Cross-entropy plus RB-loss: some region must beat the original face, the last one."""
        mu = outputs["mu"]
        region = (margin - (mu[:, :-1].max(1).values - mu[:, -1])).clamp(min=0).mean()
        return nn.functional.cross_entropy(outputs["logits"], labels) + region


def randomise(model: ReleasedRan, crops: torch.Tensor, *, seed: int, shift: float = 0.0):
    """Weights and BN statistics as training on such crops might leave them; nothing is 0 or 1.

    The statistics are near those of `crops` [b, k, 3, h, w] and the heads scaled to the features,
    so that every output is of size 1 and differs from region to region: tolerances are absolute.
    With a `shift` of several every ReLU is open.
    """
    draw = torch.Generator().manual_seed(seed)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=draw)
            nn.init.normal_(module.bias, shift, 0.3, generator=draw)
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, generator=draw)
    with torch.no_grad():
        for norm in norms:
            norm.momentum = 1.0
        model.train().features(crops.flatten(0, 1))
        for norm in norms:
            spread = norm.running_var.sqrt()
            norm.running_mean += 0.1 * spread * torch.randn(spread.shape, generator=draw)
            norm.running_var *= 0.8 + 0.4 * torch.rand(spread.shape, generator=draw)
            norm.momentum = 0.1
        features = model.eval().features(crops.flatten(0, 1))
        for linear in (model.alpha[0], model.beta[0], model.fc):
            nn.init.normal_(linear.weight, generator=draw)
            nn.init.normal_(linear.bias, 0, 0.3, generator=draw)
            repeats = linear.in_features // features.shape[1]
            outputs = features.repeat(1, repeats) @ linear.weight.T
            linear.weight /= outputs.std(0)[:, None]
            linear.bias -= outputs.mean(0) / outputs.std(0)
    return model


def save_checkpoint(model: nn.Module, path, *, zipped: bool = True, beside=True) -> None:
    """As the authors' training script saves, from under `DataParallel`."""
    state = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    if beside:
        # What SGD says of itself, by hand: to make one imports Triton where PyTorch's CUDA build
        # brought it, and beside TensorFlow that ends the process.
        optimizer = {
            "state": {},
            "param_groups": [
                {"lr": 0.1, "momentum": 0.9, "params": list(range(len([*model.parameters()])))}
            ],
        }
        state = {"epoch": 40, "arch": "resnet18", "state_dict": state, "optimizer": optimizer}
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
