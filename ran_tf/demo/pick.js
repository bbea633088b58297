// A click on the box of a face picks it.
element.addEventListener("click", (event) => {
  const face = event.target.closest("[data-face]");
  if (face) trigger("pick", { face: Number(face.dataset.face) });
});
