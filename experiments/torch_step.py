"""Training steps of the PyTorch network, one for each line on stdin (see `compare.py`)."""

import contextlib
import importlib.util
import pathlib

import torch
import torch_ran
import turns
from torch.nn import functional


class _Authors(torch.nn.Module):
    """The released network of a file that the user has: its regions are the last axis."""

    def __init__(self, path: pathlib.Path):
        super().__init__()
        spec = importlib.util.spec_from_file_location("authors", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.network = module.resnet18()

    def forward(self, crops):
        logits, part_max, whole = self.network(crops.permute(0, 2, 3, 4, 1))
        # As (whole face, best part), which the region biased loss takes for two regions.
        return logits, torch.cat([whole.reshape(-1, 1), part_max.reshape(-1, 1)], dim=1)


def main() -> None:
    parser = turns.make_parser(__doc__)
    parser.add_argument("--folded", action="store_true", help="regions in the batch, channels_last")
    parser.add_argument("--bfloat16", action="store_true", help="autocast")
    parser.add_argument("--compile", action="store_true", help="torch.compile (needs g++)")
    parser.add_argument(
        "--authors_file", type=pathlib.Path, help="the released FERplus_dir/attention_rank_loss.py"
    )
    arguments = parser.parse_args()

    torch.manual_seed(0)
    if arguments.authors_file:
        model = _Authors(arguments.authors_file)
    else:
        model = torch_ran.RegionAttentionNetwork(folded=arguments.folded)
    if arguments.folded:
        model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, weight_decay=1e-4)
    forward = torch.compile(model) if arguments.compile else model
    shape = (arguments.batch, arguments.regions, 3, arguments.size, arguments.size)
    crops, labels = torch.randn(shape), torch.randint(0, 8, (arguments.batch,))

    def step():
        optimizer.zero_grad(set_to_none=True)
        autocast = (
            torch.autocast("cpu", torch.bfloat16)
            if arguments.bfloat16
            else contextlib.nullcontext()
        )
        with autocast:
            logits, mu = forward(crops)
        loss = functional.cross_entropy(logits.float(), labels)
        (loss + torch_ran.region_biased_loss(mu.float())).backward()
        optimizer.step()
        return loss.item()

    turns.serve_turns(step)


if __name__ == "__main__":
    main()
