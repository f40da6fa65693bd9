// @vitest-environment jsdom
import { describe, expect, it } from "vitest";
import { bytesIn, formOf, groupsOf, pathOf, type Scan, unreadable, withMore, without } from "./scans";

function made(name: string, size = 1, more: Partial<Record<"webkitRelativePath" | "relativePath", string>> = {}): File {
  const file = new File([new Uint8Array(size)], name, { lastModified: 0 });
  for (const [key, value] of Object.entries(more)) Object.defineProperty(file, key, { value });
  return file;
}

const scan = (path: string, size = 1): Scan => ({ path, file: made(path.split("/").at(-1) ?? "", size) });

describe("a file's place", () => {
  it("is that within the folder that was chosen", () => {
    expect(pathOf(made("1.dcm", 1, { webkitRelativePath: "MRN-1/FLAIR/1.dcm" }))).toBe("MRN-1/FLAIR/1.dcm");
  });
  it("is that within the folder that was dropped, and leads nowhere else", () => {
    expect(pathOf(made("1.dcm", 1, { relativePath: "/MRN-1/FLAIR/1.dcm" }))).toBe("MRN-1/FLAIR/1.dcm");
    expect(pathOf(made("1.dcm", 1, { relativePath: "./1.dcm" }))).toBe("1.dcm");
  });
  it("is its name where it came alone", () => {
    expect(pathOf(made("T1w.nii.gz"))).toBe("T1w.nii.gz");
    expect(pathOf(made(".hidden"))).toBe(".hidden");
  });
});

describe("more files", () => {
  it("are added once, without what file browsers leave behind", () => {
    const first = withMore([], [made("a"), made("b"), made(".DS_Store"), made("Thumbs.db")]);
    expect(first.scans.map((one) => one.path)).toEqual(["a", "b"]);
    expect(withMore(first.scans, [made("b"), made("c")]).scans.map((one) => one.path)).toEqual(["a", "b", "c"]);
  });
  it("are not added where another file has the same place", () => {
    const first = withMore([], [made("Image-1.dcm", 10)]).scans;
    const second = withMore(first, [made("new"), made("Image-1.dcm", 11)]);
    expect(second).toEqual({ scans: first, clash: "Image-1.dcm" });
  });
});

describe("groups", () => {
  const scans = [scan("loose", 5), scan("A/x/1", 10), scan("B/1", 20), scan("A/2", 40)];
  it("are the outermost folders, then single files", () => {
    expect(groupsOf(scans).map((one) => [one.folder, one.scans.length, one.bytes])).toEqual([
      ["A", 2, 50],
      ["B", 1, 20],
      ["", 1, 5],
    ]);
    expect(bytesIn(scans)).toBe(75);
  });
  it("can be taken out", () => {
    expect(without(scans, "A").map((one) => one.path)).toEqual(["loose", "B/1"]);
    expect(without(scans, "").map((one) => one.path)).toEqual(["A/x/1", "B/1", "A/2"]);
  });
});

describe("the form", () => {
  it("names each file by its place, and holds a record number only if there is one", () => {
    const form = formOf([scan("A/FLAIR/1.dcm")], "");
    expect(form.getAll("files").map((one) => (one instanceof File ? one.name : one))).toEqual(["A/FLAIR/1.dcm"]);
    expect(form.has("record_number")).toBe(false);
    expect(formOf([], "7").get("record_number")).toBe("7");
  });
});

describe("a file that is gone", () => {
  it("is found", async () => {
    const gone = scan("A/gone");
    Object.defineProperty(gone.file, "slice", { value: () => ({ arrayBuffer: () => Promise.reject(new Error()) }) });
    const there = scan("A/there");
    Object.defineProperty(there.file, "slice", { value: () => ({ arrayBuffer: () => Promise.resolve() }) });
    expect(await unreadable([there, gone])).toBe(gone);
    expect(await unreadable([there])).toBe(undefined);
  });
});
