/** The files that somebody has chosen, each with its place in the folder that it came from. */

export interface Scan {
  /** Folders and name; the server reads the sequence from them too. */
  path: string;
  file: File;
}

/** What is sent together: one of the folders that were chosen, or all files that were chosen by themselves. */
export interface Group {
  /** Of the folder; empty for single files. */
  folder: string;
  scans: readonly Scan[];
  bytes: number;
}

// What file browsers leave behind.
const LEFTOVERS = new Set([".DS_Store", "Thumbs.db", "desktop.ini"]);

/** Return a file's place within the folder that was dropped or chosen; its mere name where it came alone. */
export function pathOf(file: File): string {
  const dropped = "relativePath" in file && typeof file.relativePath === "string" ? file.relativePath : "";
  return (file.webkitRelativePath || dropped || file.name).replace(/^(\.?\/)+/, "");
}

/** Return the scans with more files; `clash` names one that is another file of the same place, and nothing is added. */
export function withMore(scans: readonly Scan[], files: readonly File[]): { scans: readonly Scan[]; clash?: string } {
  const known = new Map(scans.map((one) => [one.path, one]));
  for (const file of files) {
    const path = pathOf(file);
    if (LEFTOVERS.has(file.name)) continue;
    const before = known.get(path)?.file;
    if (before && (before.size !== file.size || before.lastModified !== file.lastModified)) {
      return { scans, clash: path };
    }
    known.set(path, { path, file });
  }
  return { scans: [...known.values()] };
}

/** Return the scans by the folder that they came in, those without one last. */
export function groupsOf(scans: readonly Scan[]): readonly Group[] {
  const byFolder = new Map<string, Scan[]>();
  for (const one of scans) {
    const folder = folderOf(one);
    const members = byFolder.get(folder);
    if (members) members.push(one);
    else byFolder.set(folder, [one]);
  }
  return [...byFolder]
    .map(([folder, members]) => ({ folder, scans: members, bytes: bytesIn(members) }))
    .sort((a, b) => Number(a.folder === "") - Number(b.folder === ""));
}

/** Return the scans without those of one group. */
export function without(scans: readonly Scan[], folder: string): readonly Scan[] {
  return scans.filter((one) => folderOf(one) !== folder);
}

/** Return how much all scans hold together. */
export function bytesIn(scans: readonly Scan[]): number {
  return scans.reduce((sum, one) => sum + one.file.size, 0);
}

/** Return the first scan that can be read no more, such as from a disk that was taken out. */
export async function unreadable(scans: readonly Scan[]): Promise<Scan | undefined> {
  for (const one of scans) {
    try {
      await one.file.slice(0, 1).arrayBuffer();
    } catch {
      return one;
    }
  }
  return undefined;
}

/** Return the form that sends the scans. */
export function formOf(scans: readonly Scan[], recordNumber: string): FormData {
  const form = new FormData();
  if (recordNumber) form.append("record_number", recordNumber);
  for (const { file, path } of scans) form.append("files", file, path);
  return form;
}

function folderOf(scan: Scan): string {
  const [first = "", ...rest] = scan.path.split("/");
  return rest.length > 0 ? first : "";
}
