import type { Niivue } from "@niivue/niivue";
import { useEffect, useRef, useState } from "react";
import { flushSync } from "react-dom";
import { useTranslation } from "react-i18next";
import { type Overlay, SEQUENCES, type Sequence } from "../files";
import { beforePrinting } from "../print";
import { Legend } from "./Legend";

interface Snapshot {
  name: Sequence;
  address: string;
}

interface Props {
  drawn: ReadonlyMap<Sequence, Niivue>;
  /** Those that are to be seen. */
  overlays: readonly Overlay[];
}

/** What paper has in place of the panes: pictures of them, and what the colors mean. */
export function Snapshots({ drawn, overlays }: Props) {
  const { t } = useTranslation();
  const snapshots = useSnapshots(drawn);
  return (
    <div className="gliofed-only-printed">
      <div className="gliofed-snapshots">
        {snapshots.map(({ name, address }) => (
          <figure key={name}>
            <img src={address} alt={t(`sequence.${name}`)} />
            <figcaption>{t(`sequence.${name}`)}</figcaption>
          </figure>
        ))}
      </div>
      {overlays.map((name) => (
        <Legend key={name} of={name} />
      ))}
    </div>
  );
}

/** Return the panes as pictures, taken anew each time before the page is printed. */
function useSnapshots(drawn: ReadonlyMap<Sequence, Niivue>): readonly Snapshot[] {
  const [snapshots, setSnapshots] = useState<readonly Snapshot[]>([]);
  const latest = useRef(drawn);
  useEffect(() => {
    latest.current = drawn;
  });
  useEffect(() => {
    const take = (): readonly Snapshot[] => {
      const taken = SEQUENCES.flatMap((name) => {
        const niivue = latest.current.get(name);
        // A canvas holds its picture only until the browser has shown it.
        niivue?.drawScene();
        return niivue?.canvas ? [{ name, address: niivue.canvas.toDataURL("image/png") }] : [];
      });
      flushSync(() => setSnapshots(taken));
      return taken;
    };
    const decoded = async (): Promise<void> => {
      for (const { address } of take()) {
        const image = new Image();
        image.src = address;
        await image.decode();
      }
    };
    const takeNow = (): void => void take();
    window.addEventListener("beforeprint", takeNow);
    const forget = beforePrinting(decoded);
    return () => {
      window.removeEventListener("beforeprint", takeNow);
      forget();
    };
  }, []);
  return snapshots;
}
