"""The photos of a request: several as multipart/form-data, or one as the body itself."""

import asyncio

from starlette import formparsers
from starlette.datastructures import Headers, UploadFile

from ran_tf.serving.limits import Limits
from ran_tf.serving.photo_service import Upload
from ran_tf.serving.service import BadRequestError

# Of a form that is parsed at once: other connections wait for it.
_PIECE = 2**16
# Characters of a photo's name that are given back.
_MOST_NAME = 255


class _Form(formparsers.MultiPartParser):
    # The body is in memory already, and nothing is written to disk.
    spool_max_size = 2**63


async def read_uploads(body: bytes, headers: Headers, *, limits: Limits) -> list[Upload]:
    """The photos of a request, in order.

    Args:
      body: of the request, within its limit.
      headers: whose Content-Type tells a form; anything else is the file of one photo.
      limits: on the number of photos, and on time.

    Raises:
      BadRequestError: for what is no such form, has no photo, or too many.
    """
    if not headers.get("content-type", "").lower().startswith("multipart/form-data"):
        uploads = [Upload(name="", data=body)] if body else []
    else:
        uploads = await _read_form(body, headers, limits=limits)
    if not uploads:
        raise BadRequestError(
            "the request must have photos: files of a multipart/form-data form, or one file as its "
            "body. Received: none"
        )
    return uploads


async def _read_form(body: bytes, headers: Headers, *, limits: Limits) -> list[Upload]:
    form = _Form(headers, _pieces(body), max_files=limits.photos, max_fields=limits.photos)
    try:
        async with asyncio.timeout(limits.body_seconds):
            parsed = await form.parse()
    except formparsers.MultiPartException as error:
        raise BadRequestError(f"not a form of photos: {error.message}") from error
    # A header that is no boundary, or a name that is no text.
    except (KeyError, ValueError, LookupError) as error:
        raise BadRequestError(f"not a form of photos: {error!r}") from error
    except TimeoutError as error:
        raise BadRequestError("the form has too many parts") from error
    try:
        return [
            Upload(name=(value.filename or "")[:_MOST_NAME], data=await value.read())
            for _, value in parsed.multi_items()
            if isinstance(value, UploadFile)
        ]
    finally:
        await parsed.close()


async def _pieces(body: bytes):
    for start in range(0, len(body), _PIECE):
        yield body[start : start + _PIECE]
        await asyncio.sleep(0)
