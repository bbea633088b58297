"""Weights of other houses, into our models: one file a format, all in `FORMATS`.

Each format accounts for every tensor of its file: it is loaded, checked against the constant it
must be, or left out on purpose with a reason. Anything else that is unused or missing is an error
that lists names, unless `allow_partial` turns it into a report.

    faceres_tfjs   FaceRes, a TF.js graph model with folded BN, of `@vladmandic/human` (MIT)
    ms1m_torch     ResNet-18, 34 or 50 of PyTorch, such as MS-Celeb-1M's `ijba_res18_naive.pth.tar`
    ran_torch      a whole network: a checkpoint of the paper's released code
"""

from collections.abc import Callable
from pathlib import Path

from ran_tf import checks, registry, vocabulary
from ran_tf.weights.convert import faceres_tfjs, ms1m_torch, ran_torch
from ran_tf.weights.convert.accounting import Converted

FORMATS: dict[str, Callable[..., Converted]] = {
    "faceres_tfjs": faceres_tfjs.convert_file,
    "ms1m_torch": ms1m_torch.convert_file,
    "ran_torch": ran_torch.convert_file,
}

# What the pixels were when the weights of each format were trained. The authors' loader, which
# their MS-Celeb-1M backbones share, makes RGB in 0..1 and no more.
_PREPROCESSING = {"faceres_tfjs": "standard", "ms1m_torch": "unit", "ran_torch": "unit"}


def convert(
    *,
    source: str | Path,
    format: str,
    size: tuple[int, int] = (128, 128),
    preprocessing: str | None = None,
    attention: str | None = None,
    allow_partial: bool = False,
) -> Converted:
    """Reads the foreign weights in `source` into a model of ours.

    Args:
      source: the file, in the layout of `format`.
      format: a key of `FORMATS`.
      size: height and width the model is built for, in pixels. It changes no weight.
      preprocessing: what was done to the pixels that the weights were trained on, see
        `build_backbone`; None is the format's own: "unit" for the PyTorch formats.
      attention: of a network (`ran_torch`): "softmax" or "sigmoid"; None is what the released code
        does with such a head: "softmax" with relation-attention and "sigmoid" without.
      allow_partial: tensors that the format does not know are left out, and variables without a
        tensor keep their random start, instead of being an error.

    Raises:
      ValueError: unknown format, a damaged file, or tensors that are missing, unused or of another
        shape than the model's.
      FileNotFoundError: `source`, or a file that it refers to, is not there.
      RuntimeError: a PyTorch format where PyTorch is not installed.
    """
    checks.check_choice("format", format, sorted(FORMATS))
    preprocessing = preprocessing or _PREPROCESSING[format]
    checks.check_choice("preprocessing", preprocessing, vocabulary.PREPROCESSINGS)
    options = {"size": size, "preprocessing": preprocessing, "allow_partial": allow_partial}
    if attention is not None:
        checks.check_choice("attention", attention, registry.ATTENTIONS)
        if format != "ran_torch":
            raise ValueError(
                "`attention` must be left out where a backbone is converted; only 'ran_torch' has "
                f"one. Received: attention={attention!r} with format={format!r}"
            )
        options["attention"] = attention
    return FORMATS[format](Path(source), **options)
