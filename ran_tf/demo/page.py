"""The page: Gradio's components around what `photo`, `explain` and `markup` make.

Nothing is stored: uploads wait and faces live in memory, and pictures reach the browser within the
page's own messages.
"""

import dataclasses
import importlib.resources
import itertools
import os

# Read when Gradio is imported.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

import gradio as gr

from ran_tf.demo import explain, markup, occluder, photo
from ran_tf.demo.photo import Face, Photo

TITLE = "Region attention"
_INTRODUCTION = f"""# {TITLE}

A network that reads the expression of a face from several regions, and weighs them.
"""
_SMALL_PRINT = """An expression is not an emotion: this tells what a face looks like, not what
somebody feels. The networks were trained on research data and are for research; do not decide about
people with them. Photos stay in the memory of the machine that runs this page, and are forgotten.
"""
_STEPS = """1. **Drop a photo**, or take one with the camera. Faces are found and turned upright.
2. **See** the expression, and how much each region counted: the highest red, the lowest blue.
3. **Cover** a part of the face with a patch and drag it: weights and expression follow.
"""
_NO_FACE = (
    "No face was found. If the picture shows one face from fringe to chin, take the whole "
    "picture: its largest central square is used."
)
_EXPIRED = "That face is no longer in memory. Drop the photo again."
# Of faces in memory, and of visitors who have some.
_SECONDS_KEPT, _SESSIONS = 1800, 100
# Of photos whose events wait for the networks.
_QUEUE_BYTES = 640 * 2**20
_IDS = itertools.count()


@dataclasses.dataclass(frozen=True, eq=False)
class Session:
    """What one visitor looks at.

    Attributes:
      id: another one for every face that is picked.
      photo: that was dropped.
      chosen: index of the face; None for the whole picture.
      face: that one.
      clear: what the networks say about it, uncovered; None until the picture is taken for one.
    """

    id: int
    photo: Photo
    chosen: int | None
    face: Face
    clear: explain.Explanation | None


def build(networks: explain.Networks, *, max_bytes: int) -> gr.Blocks:
    """Lays out the page.

    Args:
      networks: from `explain.load_networks`.
      max_bytes: of an upload.
    """
    with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
        session = gr.State(None, time_to_live=_SECONDS_KEPT)
        gr.Markdown(_INTRODUCTION, elem_id="ran-introduction")
        with gr.Row(elem_id="ran-columns"):
            with gr.Column(scale=4, min_width=300):
                upload = _upload(max_bytes)
                message = _html("", elem_id="ran-message")
                whole = gr.Button("Take the whole picture", visible=False, elem_id="ran-whole")
                shown = _html("", elem_id="ran-shown", js_on_load=read("pick.js"), visible="hidden")
            with gr.Column(scale=7, min_width=300) as steps:
                gr.Markdown(_STEPS, elem_id="ran-steps")
            with gr.Column(scale=7, min_width=300, visible=False) as results:
                with gr.Row():
                    with gr.Column(scale=3, min_width=260):
                        stage = _html(
                            None,
                            elem_id="ran-stage",
                            html_template=read("stage.html"),
                            js_on_load=_stage_script(),
                        )
                    with gr.Column(scale=4, min_width=260):
                        verdict = _html("", elem_id="ran-verdict")
                        expressions = _html("", elem_id="ran-expressions")
                gr.Markdown("## What each region counted", elem_classes="ran-heading")
                regions = _html("", elem_id="ran-regions")
        gr.Markdown(_SMALL_PRINT, elem_id="ran-small-print")

        def say(text, *, error=False):
            return {message: markup.message_markup(text, error=error)}

        def show(now: explain.Explanation, clear: explain.Explanation):
            return {
                verdict: markup.verdict_markup(now, clear=clear),
                expressions: markup.expressions_markup(now, clear=clear),
                regions: markup.regions_markup(now, clear=clear),
            }

        def choose(picture: photo.Photo, chosen: int | None):
            face = picture.whole if chosen is None else picture.faces[chosen]
            clear = explain.explain(face, networks=networks)
            picked = Session(next(_IDS), picture, chosen, face, clear)
            return {
                session: picked,
                shown: gr.HTML(markup.photo_markup(picture, chosen=chosen), visible=True),
                whole: gr.Button(visible=False),
                steps: gr.Column(visible=False),
                results: gr.Column(visible=True),
                stage: {"id": picked.id, "src": markup.data_url(face.view)},
                **show(clear, clear),
            }

        def forget():
            return {
                session: None,
                shown: gr.HTML("", visible="hidden"),
                whole: gr.Button(visible=False),
                steps: gr.Column(visible=True),
                results: gr.Column(visible=False),
            }

        def take_photo(_, request: gr.Request):
            data = request.state.photo  # which the gate put there
            if data is None:  # the upload was cleared
                return {**forget(), **say("")}
            empty = {upload: None}
            try:
                picture = photo.analyse(data, cards=networks.cards, find_faces=networks.find_faces)
            except ValueError as error:
                return {**empty, **forget(), **say(_sentence(error), error=True)}
            if not picture.faces:
                kept = Session(next(_IDS), picture, None, picture.whole, clear=None)
                return {
                    **empty,
                    **forget(),
                    session: kept,
                    shown: gr.HTML(markup.photo_markup(picture, chosen=None), visible=True),
                    whole: gr.Button(visible=True),
                    **say(_NO_FACE),
                }
            count = len(picture.faces)
            text = "" if count == 1 else f"{count} faces were found. Pick one in the photo."
            return {**empty, **choose(picture, picture.largest), **say(text)}

        def take_whole(kept: Session | None):
            if kept is None:
                return {**forget(), **say(_EXPIRED, error=True)}
            return {**choose(kept.photo, None), **say("The whole picture is treated as one face.")}

        def pick(kept: Session | None, event: gr.EventData):
            if kept is None:
                return {**forget(), **say(_EXPIRED, error=True)}
            face = event._data.get("face")
            if face not in range(len(kept.photo.faces)) or face == kept.chosen:
                return {message: gr.skip()}
            return choose(kept.photo, int(face))

        def cover(kept: Session | None, event: gr.EventData):
            if kept is None:
                return {**forget(), **say(_EXPIRED, error=True)}
            if kept.clear is None or event._data.get("id") != kept.id:  # of the face before
                return {message: gr.skip()}
            try:
                patch = occluder.read_occluder(event._data.get("box"))
            except ValueError as error:
                return say(_sentence(error), error=True)
            now = explain.explain(kept.face, networks=networks, occluder=patch)
            return show(now, kept.clear)

        settings = {
            "trigger_mode": "always_last",
            "api_visibility": "private",
            "concurrency_limit": 1,
            "concurrency_id": "networks",
        }
        answer = [verdict, expressions, regions]
        everything = [message, session, shown, whole, steps, results, stage, *answer]
        upload.input(take_photo, upload, [upload, *everything], **settings)
        whole.click(take_whole, session, everything, **settings)
        quiet = {"show_progress": "hidden", **settings}
        shown.pick(pick, session, everything, **quiet)
        # Gradio's "always_last" lost the last of three quick moves. The stage spaces them itself.
        stage.occlude(cover, session, everything, **{**quiet, "trigger_mode": "multiple"})
    page.state_session_capacity = _SESSIONS
    page.queue(max_size=max(8, min(64, _QUEUE_BYTES // max_bytes)))
    return page


def theme() -> gr.Theme:
    """Colours and fonts."""
    # Fonts of the machine: Gradio's own themes fetch theirs from another.
    fonts = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
    base = gr.themes.Base(
        primary_hue="teal", neutral_hue="slate", font=fonts, font_mono=["ui-monospace", "monospace"]
    )
    # The usual grey of small print has less contrast than 4.5 to 1 on white.
    return base.set(body_text_color_subdued="*neutral_500")


def _html(value, **settings) -> gr.HTML:
    return gr.HTML(value, **{"apply_default_css": False, "js_on_load": None, **settings})


def _upload(max_bytes: int) -> gr.Image:
    return gr.Image(
        label="Photo",
        type="filepath",
        sources=["upload", "webcam", "clipboard"],
        height=220,
        buttons=[],
        elem_id="ran-upload",
        placeholder=f"# Drop a photo here\nor click to choose one, up to {max_bytes / 2**20:g} MB",
    )


def _sentence(error: ValueError) -> str:
    text = str(error)
    return text[:1].upper() + text[1:]


def _stage_script() -> str:
    """The patch of the exported page, and what sends it. Gradio takes a script, and no module."""
    return read("page/cover.js", room="ran_tf.exports").replace("export ", "") + read("stage.js")


def read(name: str, *, room: str = "ran_tf.demo") -> str:
    """The text of a file of a room, by default of this one."""
    return importlib.resources.files(room).joinpath(name).read_text(encoding="utf-8")
