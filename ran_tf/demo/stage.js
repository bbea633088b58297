// The face and its occluder (cover.js of the exported page, which stands before this). Sends
// {id, box} to Python, where `box` is null or {y0, x0, y1, x1} in 0..1 of the face.
const stage = element.querySelector(".ran-stage");
const LONGEST_WAIT = 400;
let id = null;
let box = null;
let waiting = null;
let unsent = false;
let uncover = null;

// One message at a time: the next goes out, with the newest box, when the regions have changed, or
// after a while where a message changes nothing.
function send() {
  unsent = Boolean(waiting);
  if (waiting) return;
  const answer = new MutationObserver(() => finish());
  const finish = () => {
    clearTimeout(waiting);
    answer.disconnect();
    waiting = null;
    if (unsent) send();
  };
  waiting = setTimeout(finish, LONGEST_WAIT);
  const regions = document.querySelector("#ran-regions");
  if (regions) answer.observe(regions, { childList: true, characterData: true, subtree: true });
  trigger("occlude", { id, box });
}

function show() {
  const face = props.value;
  if (!face || face.id === id) return;
  id = face.id;
  box = null;
  stage.querySelector("img").src = face.src;
  uncover ??= attachCover({
    stage,
    patch: stage.querySelector(".ran-occluder"),
    handle: stage.querySelector(".ran-handle"),
    buttons: [...element.querySelectorAll("[data-place]")],
    onChange: (next) => {
      box = next;
      send();
    },
  });
  uncover();
}

watch("value", show);
show();
