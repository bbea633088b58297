"""Region dropout: a training step sees the whole face and a random few of its regions.

It costs less than all regions, and the network learns to do with any number of them.
"""

from keras import ops


def choose_regions(boxes, mask, draws, *, count: int) -> dict:
    """Picks `count` regions of each face: the whole face, and others at random, unmasked first.

    Args:
      boxes: f32[b, k, 4], region 0 the whole face.
      mask: bool[b, k].
      draws: f32[b, k-1], uniform in 0..1.
      count: regions that stay, 1..k.

    Returns:
      dict: boxes f32[b, count, 4], mask bool[b, count]; the regions that stay keep their order.
    """
    # Unmasked regions have ranks below 1, masked ones below 2, the whole face -1.
    rank = draws + ops.where(mask[:, 1:], 0.0, 1.0)
    rank = ops.concatenate([-ops.ones_like(boxes[:, :1, 0]), rank], axis=1)
    chosen = ops.sort(ops.argsort(rank, axis=1)[:, :count], axis=1)
    return {
        "boxes": ops.take_along_axis(boxes, chosen[..., None], axis=1),
        "mask": ops.take_along_axis(mask, chosen, axis=1),
    }
