"""The page as a server: Gradio behind the gate, on a socket that is open already."""

import socket
import threading

import fastapi
import gradio as gr
import uvicorn
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from ran_tf.demo import gate, page
from ran_tf.demo.hosts import Hosts
from ran_tf.demo.uploads import Uploads

# Connections at once: each open page holds one or two.
_CONNECTIONS = 512


def create_app(blocks: gr.Blocks, *, hosts: Hosts, uploads: Uploads):
    """The ASGI application.

    Args:
      blocks: from `page.build`.
      hosts: names that the page answers to.
      uploads: where photos wait for their event.
    """
    outer = fastapi.FastAPI(openapi_url=None)
    outer.add_route(gate.UPLOAD, _receive(uploads), methods=["POST"])
    outer.add_route(gate.PROGRESS, _say_done, methods=["GET"])
    outer.add_route(f"{gate.FILE}{{path:path}}", _show(uploads), methods=["GET"])
    mounted = gr.mount_gradio_app(
        outer,
        blocks,
        path="/",
        max_file_size=uploads.max_bytes,
        show_error=True,
        # No second server, no page of the API, no record of what was run, no monitoring.
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        theme=page.theme(),
        css=page.read("page.css"),
    )
    events = {
        number: any(isinstance(block, gr.Image) for block in event.inputs)
        for number, event in blocks.fns.items()
    }
    return gate.guard(mounted, hosts=hosts, uploads=uploads, events=events)


def serve(app, *, listening: socket.socket, uploads: Uploads) -> threading.Thread:
    """Serves from threads, until the process ends. Returns the one that is alive until then."""

    async def forget_old():
        uploads.forget_old()

    config = uvicorn.Config(
        app,
        log_level="error",
        access_log=False,
        server_header=False,
        # Gradio reads them, after the gate has.
        proxy_headers=False,
        ws="none",
        limit_concurrency=_CONNECTIONS,
        callback_notify=forget_old,
        timeout_notify=5,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [listening]}, name="page", daemon=True
    )
    thread.start()
    return thread


def _receive(uploads: Uploads):
    """Gradio's route for uploads names a file by its content: equal photos would be one file."""

    async def receive(request: Request) -> Response:
        parser = MultiPartParser(request.headers, request.stream(), max_files=1, max_fields=0)
        parser.spool_max_size = 2 * uploads.max_bytes  # stays in memory
        try:
            form = await parser.parse()
            (photo,) = form.getlist("files")
            if isinstance(photo, str):
                raise ValueError("it has text instead of a file")
        except (MultiPartException, KeyError, ValueError) as error:
            return PlainTextResponse(f"This is not an upload of one file: {error}", 400)
        data = await photo.read()
        await form.close()
        if len(data) > uploads.max_bytes:
            return PlainTextResponse(
                f"The file exceeds the maximum of {uploads.max_bytes:,} bytes.", 413
            )
        return JSONResponse([uploads.add(data, visitor=request.state.visitor)])

    return receive


async def _say_done(_: Request) -> Response:
    # Gradio's script asks how far its upload is.
    return PlainTextResponse('data: {"msg": "done"}\n\n', media_type="text/event-stream")


def _show(uploads: Uploads):
    """A visitor's own photo, while it waits."""

    async def show(request: Request) -> Response:
        data = uploads.find(request.path_params["path"], visitor=request.state.visitor)
        if data is None:
            return PlainTextResponse("There is no such photo.", 404)
        # Whatever it is, a browser shows it as a picture or not at all.
        headers = {
            "content-disposition": "attachment",
            "x-content-type-options": "nosniff",
            "cache-control": "no-store",
        }
        return Response(data, headers=headers, media_type="application/octet-stream")

    return show
