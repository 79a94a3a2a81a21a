// What a drag may mean: guesses of the server, to choose from.

/** Show guesses. @param {import("./studio.js").Studio} studio @param {HTMLElement} list @param {string} prompt */
export async function suggest(studio, list, prompt) {
  const instruction = await studio.canvas.document.instruction();
  if (!instruction.operations.length) throw new Error("mark a region and drag it first");
  const { seed: _, variants: __, ...asked } = studio.edits.fields(instruction, { ...studio.choices, prompt, editPrompt: "" });
  const said = await (await studio.server.post("v1/intents", asked)).json();
  list.replaceChildren(...said.candidates.map((/** @type {any} */ guess) => button(studio, guess, said.background_prompt)));
}

/** @param {import("./studio.js").Studio} studio @param {any} guess @param {string} background */
function button(studio, guess, background) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = `${guess.label}: ${guess.prompt || background || "as it is"}`;
  made.addEventListener("click", () => {
    studio.told({ prompt: background, editPrompt: guess.prompt });
    const anchor = guess.anchor && { x: guess.anchor[0], y: guess.anchor[1] };
    if (anchor) studio.canvas.move({ anchor });
  });
  return made;
}
