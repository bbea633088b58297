"""Bytes of an image file to pixels, inside the graph, with limits that are checked before decoding.

A few bytes can ask a decoder for gigabytes: the size that a file claims is read from its header
first. Bytes that fail a check, or the decoder, fail the request that they came in with a message;
that of a check names the item.

    JPEG   also progressive, grey and CMYK; pixels are those that `ran_tf.images.decoding` decodes,
           but EXIF orientation is not applied
    PNG    also grey, palette, with alpha (dropped, not blended) and with 16 bits (the upper 8,
           or of a camera of 8 to 14 bits the upper 8 of those, see `images.bits_in_use`)
    BMP    24 and 32 bits, and 8 bits with the grey palette
    GIF    its first frame

A file that ends too early is refused, by a check: TensorFlow's own message names no item.
"""

import tensorflow as tf

# 4,096 x 4,096; a face is smaller. Decoded, so many pixels take 48 MiB.
MAX_PIXELS = 2**24
MAX_BYTES = 2**24
# TensorFlow unpacks every frame where one is wanted, a pixel to the byte, and a byte of a GIF can
# stand for a thousand pixels.
MAX_GIF_BYTES = 2**18

_JPEG, _PNG, _GIF, _BMP = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM"
# No header that is read here is longer.
_HEAD = 32
_JPEG_END, _PNG_END = b"\xff\xd9", b"IEND\xae\x42\x60\x82"
# Where the end of a file is looked for, before zeros and white space.
_TAIL, _SPACE = 4096, b"\0\t\n\r "
_GREY_PALETTE = b"".join(bytes([i, i, i, 0]) for i in range(256))


def decode_bytes(data, *, index=0):
    """Decodes one image.

    Args:
      data: string[], a JPEG, PNG, BMP or GIF file.
      index: i64[], the place in the batch that errors name.

    Returns:
      u8[H, W, 3], RGB; grey images get three equal channels.

    Raises:
      tf.errors.InvalidArgumentError: when run, for anything else, and beyond `MAX_PIXELS`,
        `MAX_BYTES` and `MAX_GIF_BYTES`.
    """
    with tf.control_dependencies(_check_bytes(data, index=index)):
        kind = {name: _begins(data, magic) for name, magic in _MAGIC.items()}
        ended = _has_end(data, kind=kind)
        size = _claimed_size(data, kind=kind, ended=ended)
    with tf.control_dependencies(_check_claims(data, size=size, kind=kind, index=index)):
        early = _require(
            ended,
            "`image_bytes[{}]` ends too early. Received: {} bytes",
            index,
            tf.strings.length(data),
        )
    with tf.control_dependencies([early]):
        image = tf.cond(
            kind["png"] & tf.equal(tf.strings.substr(data + b"\0" * _HEAD, 24, 1), b"\x10"),
            lambda: _decode_16_bits(data),
            lambda: _decode_8_bits(data, kind=kind),
        )
    coloured = tf.shape(image)[-1] >= 3
    return tf.gather(image, tf.where(coloured, [0, 1, 2], [0, 0, 0]), axis=-1)


def _decode_8_bits(data, *, kind: dict):
    return tf.cond(
        kind["jpeg"],
        # The fast transform, which is TensorFlow's own choice, is up to 14 grey levels off.
        lambda: tf.io.decode_jpeg(data, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(data, expand_animations=False),
    )


def _decode_16_bits(data):
    """A PNG of 16 bits in 8, as `ran_tf.images.decoding` reads it."""
    image = tf.cast(tf.io.decode_png(data, dtype=tf.uint16), tf.int32)
    # The last of two or four channels is alpha.
    colours = image[..., : (tf.shape(image)[-1] - 1) // 2 * 2 + 1]
    highest = tf.reduce_max(colours)
    only_dark = ~tf.reduce_any(colours % 16 > 0) | ~tf.reduce_any(colours % 257 > 0)
    shift = tf.reduce_sum(2 * tf.cast(highest >= [2**8, 2**10, 2**12], tf.int32))
    shift = tf.where(only_dark | (highest >= 2**14), 8, shift)
    return tf.cast(tf.bitwise.right_shift(image, shift), tf.uint8)


_MAGIC = {"jpeg": _JPEG, "png": _PNG, "gif": _GIF, "bmp": _BMP}


def _begins(data, magic: bytes):
    return tf.equal(tf.strings.substr(data, 0, len(magic)), magic)


def _require(condition, message: str, *values):
    """An assertion; each {} of the message is a value."""
    return tf.debugging.Assert(condition, [tf.strings.format(message, values)])


def _check_bytes(data, *, index) -> list:
    length = tf.strings.length(data)
    known = tf.reduce_any([_begins(data, magic) for magic in _MAGIC.values()])
    return [
        _require(
            known,
            "`image_bytes[{}]` must be a JPEG, PNG, BMP or GIF file. "
            "Received: {} bytes of something else",
            index,
            length,
        ),
        _require(
            length <= MAX_BYTES,
            f"`image_bytes[{{}}]` must have at most {MAX_BYTES:,} bytes. Received: {{}} bytes",
            index,
            length,
        ),
    ]


def _has_end(data, *, kind: dict):
    """Whether the file is there to its end, as far as that can be told without decoding.

    Files end as they should, or all of a file is looked at: programs write things behind the end.
    """
    length = tf.strings.length(data)
    tail = tf.strings.substr(data, tf.maximum(0, length - _TAIL), _TAIL)
    codes = tf.io.decode_raw(tail, tf.uint8)
    codes = tf.boolean_mask(codes, ~tf.reduce_any(codes[:, tf.newaxis] == list(_SPACE), axis=-1))
    # So that there is something to compare of the shortest file.
    codes = tf.concat([tf.zeros(len(_PNG_END), tf.uint8), codes], axis=0)

    def ends(mark: bytes):
        return tf.reduce_all(codes[-len(mark) :] == list(mark))

    def count(mark: bytes):
        everything = tf.io.decode_raw(data, tf.uint8)
        starts = tf.size(everything) - len(mark) + 1
        found = [tf.equal(everything[i : i + starts], code) for i, code in enumerate(mark)]
        return tf.reduce_sum(tf.cast(tf.reduce_all(found, axis=0), tf.int32))

    def jpeg():
        # It may hold smaller ones, and have a film behind it: as many ends as starts.
        return tf.cond(ends(_JPEG_END), lambda: True, lambda: count(_JPEG_END) >= count(_JPEG))

    def png():
        return tf.cond(ends(_PNG_END), lambda: True, lambda: count(_PNG_END) > 0)

    def bmp():
        head = _head_numbers(data)
        height, width = _bmp_size(head)
        row = (width * head(28, 2) + 31) // 32 * 4  # padded to four bytes
        return tf.cast(length, tf.int64) >= head(10, 4) + height * row

    return tf.case(
        [(kind["jpeg"], jpeg), (kind["png"], png), (kind["gif"], lambda: ends(b";"))], default=bmp
    )


def _head_numbers(data):
    """A function that reads an unsigned number of the header: (first byte, bytes) -> i64[]."""
    head = tf.io.decode_raw(tf.strings.substr(data + b"\0" * _HEAD, 0, _HEAD), tf.uint8)
    head = tf.cast(head, tf.int64)

    def number(first: int, count: int, *, big_endian: bool = False):
        bytes_ = head[first : first + count]
        if not big_endian:
            bytes_ = bytes_[::-1]
        return tf.reduce_sum(bytes_ * [256**place for place in reversed(range(count))])

    return number


def _bmp_size(number):
    """(height, width) of a BMP, whose height is negative where rows run down."""

    def signed(value):
        return tf.abs(tf.where(value >= 2**31, value - 2**32, value))

    return signed(number(22, 4)), signed(number(18, 4))


def _claimed_size(data, *, kind: dict, ended):
    """(height, width) as the header says: i64[2]; absurd values stay absurd."""
    number = _head_numbers(data)
    nothing = tf.zeros(2, tf.int64)
    return tf.case(
        [
            (
                kind["jpeg"],
                # Fails on a header that is not all there.
                lambda: tf.cond(
                    ended,
                    lambda: tf.cast(tf.io.extract_jpeg_shape(data)[:2], tf.int64),
                    lambda: nothing,
                ),
            ),
            (
                kind["png"],
                lambda: tf.stack([number(20, 4, big_endian=True), number(16, 4, big_endian=True)]),
            ),
            (kind["gif"], lambda: tf.stack([number(8, 2), number(6, 2)])),
        ],
        default=lambda: tf.stack(_bmp_size(number)),
    )


def _check_claims(data, *, size, kind: dict, index) -> list:
    length = tf.strings.length(data)
    # The depth of a BMP is at byte 28, its palette behind a header of 14 + 40 bytes.
    palette = kind["bmp"] & tf.equal(tf.strings.substr(data + b"\0" * _HEAD, 28, 1), b"\x08")
    return [
        _require(
            # A side alone is at most 2^32: the product fits.
            (size[0] < 2**31) & (size[1] < 2**31) & (size[0] * size[1] <= MAX_PIXELS),
            f"`image_bytes[{{}}]` must have at most {MAX_PIXELS:,} pixels. "
            "Received: {} rows of {} pixels",
            index,
            size[0],
            size[1],
        ),
        _require(
            ~kind["gif"] | (length <= MAX_GIF_BYTES),
            f"`image_bytes[{{}}]`, a GIF, must have at most {MAX_GIF_BYTES:,} bytes, because "
            "all its frames are unpacked. Received: {} bytes",
            index,
            length,
        ),
        _require(
            ~palette | tf.equal(tf.strings.substr(data + b"\0" * 64, 54, 1024), _GREY_PALETTE),
            "`image_bytes[{}]`, a BMP of 8 bits, must have the grey palette. "
            "Received: another palette",
            index,
        ),
    ]
