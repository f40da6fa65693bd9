import type { Niivue } from "@niivue/niivue";
import { Alert, Content, Grid, GridItem, Progress } from "@patternfly/react-core";
import { useCallback, useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { ProblemAlert } from "../../../parts/ProblemAlert";
import { type FileName, OVERLAYS, SEQUENCES, type Sequence } from "../files";
import { Choices } from "./Choices";
import { Controls } from "./Controls";
import { Pane } from "./Pane";
import { Snapshots } from "./Snapshots";
import { firstPlace, type Scans, sizeOf, useScans } from "./scans";
import { AXIS, BEGINNING, cutsOf, type Place, type View, type Window } from "./view";

interface Props {
  identifier: string;
  files: readonly FileName[];
}

/** The scans, slice by slice, with what the model has drawn over them. */
export default function Viewer({ identifier, files }: Props) {
  const { t } = useTranslation("result");
  const [queries, scans] = useScans(identifier, files);
  const there = queries.filter((query) => query.data).length;
  const failed = queries.find((query) => query.error ?? query.failureReason);
  const isSettled = queries.every((query) => query.isFetched);
  const again = (): void => {
    for (const query of queries) if (query.error) void query.refetch();
  };
  const first = isSettled ? firstPlace(scans) : null;
  return (
    <>
      {failed && <ProblemAlert error={failed.error ?? failed.failureReason} onRetry={again} />}
      {!isSettled && (
        <Progress
          value={there}
          max={files.length}
          title={t("viewer.loading")}
          label={t("viewer.loaded", { count: files.length, there })}
          valueText={t("viewer.loaded", { count: files.length, there })}
        />
      )}
      {first && <Panes scans={scans} first={first} />}
    </>
  );
}

function Panes({ scans, first }: { scans: Scans; first: Place }) {
  const { t } = useTranslation("result");
  const { t: tc } = useTranslation();
  const [view, setView] = useState<View>(BEGINNING);
  const [place, setPlace] = useState(first);
  const [isBroken, setBroken] = useState(false);
  const [drawn, setDrawn] = useState<ReadonlyMap<Sequence, Niivue>>(new Map());
  const change = useCallback((part: Partial<View>) => setView((before) => ({ ...before, ...part })), []);
  const changeWindow = useCallback(
    (by: (window: Window) => Window) => setView((before) => ({ ...before, window: by(before.window) })),
    [],
  );
  const move = useCallback((next: Place) => setPlace((before) => (before.join() === next.join() ? before : next)), []);
  useEffect(() => {
    const all = [...drawn.values()];
    for (const one of all)
      one.broadcastTo(
        all.filter((other) => other !== one),
        { "2d": true, "3d": false },
      );
  }, [drawn]);

  const names = SEQUENCES.filter((name) => scans.sequences[name]);
  const shown = names.filter((name) => view.shown === "four" || view.shown === name);
  const [some] = Object.values(scans.sequences);
  if (!some) return null;
  const size = sizeOf(some);
  const slices = cutsOf(view.plane).map((cut) =>
    t("viewer.slice", { plane: t(`plane.${cut}`), slice: place[AXIS[cut]] + 1, slices: size[AXIS[cut]] }),
  );
  const onDrawn = (name: Sequence, niivue: Niivue | null): void =>
    setDrawn((before) => {
      const after = new Map(before);
      if (niivue) after.set(name, niivue);
      else after.delete(name);
      return after;
    });
  if (isBroken) return <Alert variant="info" isInline component="h3" title={t("viewer.noWebGl")} />;
  return (
    <>
      <Choices names={names} view={view} onChange={change} />
      <Grid hasGutter>
        <GridItem xl={8}>
          <div
            className={shown.length > 1 ? "gliofed-panes gliofed-several" : "gliofed-panes"}
            data-testid="viewer"
            data-ready={shown.every((name) => drawn.has(name))}
          >
            {shown.map((name) => {
              const scan = scans.sequences[name];
              return (
                scan && (
                  <Pane
                    key={name}
                    name={tc(`sequence.${name}`)}
                    says={slices.join(", ")}
                    scan={scan}
                    overlays={scans.overlays}
                    view={view}
                    place={place}
                    onMove={move}
                    onWindow={changeWindow}
                    onEnlarge={() => change({ shown: view.shown === "four" ? name : "four" })}
                    onDrawn={(niivue) => onDrawn(name, niivue)}
                    onFailed={() => setBroken(true)}
                  />
                )
              );
            })}
          </div>
          <Snapshots
            drawn={drawn}
            overlays={OVERLAYS.filter((name) => scans.overlays[name] && view.opacity[name] > 0)}
          />
          <Content component="small">{[...slices, t("viewer.sides")].join(". ")}</Content>
        </GridItem>
        <GridItem xl={4} className="gliofed-controls">
          <Controls scans={scans} size={size} view={view} place={place} onChange={change} onMove={move} first={first} />
        </GridItem>
      </Grid>
    </>
  );
}
