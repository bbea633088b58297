"""Which faces of every batch a process reads, where several share them."""

import dataclasses

from ran_tf.checks import check_whole


@dataclasses.dataclass(frozen=True)
class Share:
    """Which faces of every batch a process reads: those of some of the replicas.

    Of a batch, replica r has the faces at r, r + total, r + 2 total and so on: all of them are
    somebody's, none are two replicas', and numbers differ by one at most. In a last batch that is
    smaller than `total` some replicas have none.

    Attributes:
      first, count: replicas first..first+count-1.
      total: replicas of all processes.
    """

    first: int = 0
    count: int = 1
    total: int = 1

    def __post_init__(self):
        check_whole("share.total", self.total, low=1)
        check_whole("share.first", self.first, low=0, high=self.total - 1)
        check_whole("share.count", self.count, low=1, high=self.total - self.first)


# Everything, as one replica reads it.
WHOLE = Share()
