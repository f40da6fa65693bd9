/** The files of a result: which there are, and how one is taken home. */

import { client, data } from "../../api/client";

export const SEQUENCES = ["T1w", "T1wCE", "T2w", "FLAIR"] as const;
export const OVERLAYS = ["tumor", "gradcam"] as const;
export type Sequence = (typeof SEQUENCES)[number];
export type Overlay = (typeof OVERLAYS)[number];
export type FileName = Sequence | Overlay;

/** Return those of a result's files that this page knows, in the order of the page. */
export function filesOf(names: readonly string[]): readonly FileName[] {
  return [...SEQUENCES, ...OVERLAYS].filter((name) => names.includes(name));
}

/** Fetch a file, as .nii.gz. */
export function fetchFile(identifier: string, name: FileName): Promise<ArrayBuffer> {
  const path = { identifier, name };
  return data(client.GET("/predict/{identifier}/files/{name}", { params: { path }, parseAs: "arrayBuffer" }));
}

/** Fetch a file, have that written down, and hand it to the browser to be saved. */
export async function download(identifier: string, name: FileName): Promise<void> {
  const content = await fetchFile(identifier, name);
  await data(client.POST("/log", { body: { prediction: identifier, action: "downloaded" } }));
  const address = URL.createObjectURL(new Blob([content], { type: "application/gzip" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = `${identifier.slice(0, 8)}-${name}.nii.gz`;
  link.click();
  // Some browsers begin to read it only after this.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
