/** The viewer's files, fetched and read once each. */

import { NVImage } from "@niivue/niivue";
import { type UseQueryResult, useQueries } from "@tanstack/react-query";
import { type FileName, fetchFile, OVERLAYS, type Overlay, SEQUENCES, type Sequence } from "../files";
import { colorsOfLabels, middleOf } from "./tumor";
import type { Place } from "./view";

export interface Scans {
  sequences: Partial<Record<Sequence, NVImage>>;
  overlays: Partial<Record<Overlay, NVImage>>;
}

/** Below this share of its strongest place, Grad-CAM is not drawn. */
const WEAKEST = 0.2;
const STRONGEST = 255;

/** Return the queries of a result's files, and what they have brought so far. */
export function useScans(identifier: string, files: readonly FileName[]): [UseQueryResult<NVImage>[], Scans] {
  const queries = useQueries({
    queries: files.map((name) => ({
      queryKey: ["/predict", identifier, "files", name],
      queryFn: async () => read(await fetchFile(identifier, name), name),
      // A file never changes; each time it is sent is an event of the log.
      staleTime: "static" as const,
      gcTime: 0,
      structuralSharing: false,
    })),
  });
  const scans: Scans = { sequences: {}, overlays: {} };
  files.forEach((name, place) => {
    const image = queries[place]?.data;
    const sequence = SEQUENCES.find((one) => one === name);
    const overlay = OVERLAYS.find((one) => one === name);
    if (image && sequence) scans.sequences[sequence] = image;
    if (image && overlay) scans.overlays[overlay] = image;
  });
  return [queries, scans];
}

async function read(content: ArrayBuffer, name: FileName): Promise<NVImage> {
  const image = await NVImage.loadFromUrl({ url: content, name: `${name}.nii.gz`, colormap: colorsOf(name) });
  if (name === "tumor") image.setColormapLabel(colorsOfLabels());
  if (name === "gradcam") [image.cal_min, image.cal_max] = [WEAKEST * STRONGEST, STRONGEST];
  return image;
}

function colorsOf(name: FileName): string {
  return name === "gradcam" ? "plasma" : "gray";
}

/** Return how many voxels scans have along each axis, left to right, back to front, foot to head. */
export function sizeOf(image: NVImage): Place {
  const [, x = 1, y = 1, z = 1] = image.dimsRAS ?? [];
  return [x, y, z];
}

/** Return where to look first: at the middle of the tumor that was drawn, else of the scan. */
export function firstPlace({ sequences, overlays }: Scans): Place | null {
  const { tumor } = overlays;
  const scan = tumor ?? Object.values(sequences)[0];
  if (!scan) return null;
  const [x, y, z] = sizeOf(scan);
  const middle: Place = [Math.floor(x / 2), Math.floor(y / 2), Math.floor(z / 2)];
  const { img, hdr } = tumor ?? {};
  if (!tumor || !img || !hdr) return middle;
  const [, columns = 1, rows = 1, slices = 1] = hdr.dims;
  const found = middleOf(img, [columns, rows, slices]);
  if (!found) return middle;
  const [i = 0, j = 0, k = 0] = found;
  const mm = hdr.affine.slice(0, 3).map(([a = 0, b = 0, c = 0, d = 0]) => a * i + b * j + c * k + d);
  const [right = 0, front = 0, head = 0] = tumor.mm2vox(mm);
  return [right, front, head];
}
