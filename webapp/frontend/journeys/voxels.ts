/** What a canvas shows, counted in the browser from a picture of it: a canvas of WebGL cannot be read by itself. */

import type { Locator } from "playwright-core";

export interface Shown {
  /** Share of pixels that are not background. */
  lit: number;
  /** Share of pixels that are colored, and not gray. */
  colored: number;
  /** Different gray values. */
  grays: number;
}

/** Count the pixels of an element as it is on the screen. */
export async function pixelsOf(element: Locator): Promise<Shown> {
  const png = (await element.screenshot()).toString("base64");
  return element.page().evaluate(async (content) => {
    const image = new Image();
    image.src = `data:image/png;base64,${content}`;
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = image.width;
    canvas.height = image.height;
    const context = canvas.getContext("2d");
    if (!context) throw new Error("no canvas");
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, 0, image.width, image.height);
    let lit = 0;
    let colored = 0;
    const grays = new Set<number>();
    for (let at = 0; at < data.length; at += 4) {
      const rgb = [data[at] ?? 0, data[at + 1] ?? 0, data[at + 2] ?? 0];
      const most = Math.max(...rgb);
      const least = Math.min(...rgb);
      if (most > 30) lit += 1;
      if (most - least > 40) colored += 1;
      if (most - least < 5) grays.add(most);
    }
    const all = data.length / 4;
    return { lit: lit / all, colored: colored / all, grays: grays.size };
  }, png);
}
