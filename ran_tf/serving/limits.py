"""What a request may cost a server, in one place."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Limits:
    """Bounds of the REST server.

    Attributes:
      request_bytes: of a body; longer ones are refused unread.
      bodies_at_once: what all bodies together may take, as a multiple of `request_bytes`. Tensors
        of those that wait are at most twice as long.
      head_bytes: of a request's line and headers.
      connections: at once; requests on further ones are answered 503.
      head_seconds: until a head must be whole, and for a client that takes none of its answer.
      body_seconds: until a body must be whole.
      queue_seconds: that a request waits to be read, and then for its turn.
      photos: of a request; more are refused.
      pixels: of a photo; one with more is refused before it is decoded.
      faces: of a photo that are answered for, the largest.
      photo_seconds: after which no further photo of a request is begun.
      idle_seconds: that a connection is kept between requests, longer than clients keep theirs.
      grace_seconds: in which what has begun is answered after SIGTERM.
    """

    request_bytes: int = 2**26
    bodies_at_once: int = 4
    head_bytes: int = 2**14
    connections: int = 512
    head_seconds: float = 20
    body_seconds: float = 60
    queue_seconds: float = 60
    photos: int = 16
    pixels: int = 2**25
    faces: int = 64
    photo_seconds: float = 60
    idle_seconds: float = 75
    grace_seconds: float = 25
