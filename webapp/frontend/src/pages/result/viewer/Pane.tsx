import { DRAG_MODE, Niivue, type NVImage, SHOW_RENDER, SLICE_TYPE } from "@niivue/niivue";
import { type KeyboardEvent, type PointerEvent, useEffect, useRef, useState, type WheelEvent } from "react";
import { OVERLAYS, type Overlay } from "../files";
import { sizeOf } from "./scans";
import { AXIS, atSlice, cutsOf, dragged, grayOf, type Place, type Plane, stepOf, type View, type Window } from "./view";

const SLICES: Record<Plane, SLICE_TYPE> = {
  axial: SLICE_TYPE.AXIAL,
  coronal: SLICE_TYPE.CORONAL,
  sagittal: SLICE_TYPE.SAGITTAL,
  all: SLICE_TYPE.MULTIPLANAR,
};

interface Props {
  name: string;
  /** What a screen reader says of the slice that is shown. */
  says: string;
  scan: NVImage;
  overlays: Partial<Record<Overlay, NVImage>>;
  view: View;
  place: Place;
  onMove: (place: Place) => void;
  onWindow: (change: (window: Window) => Window) => void;
  onEnlarge: () => void;
  /** Told once the voxels are drawn, and with null when the pane goes. */
  onDrawn: (niivue: Niivue | null) => void;
  onFailed: () => void;
}

/** One sequence, cut at the place that all share. */
export function Pane(props: Props) {
  const { name, says, scan, view, place, onMove, onWindow, onEnlarge } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  usePicture(canvas, props);
  const [cut = "axial"] = cutsOf(view.plane);
  const size = sizeOf(scan);
  const turn = (event: KeyboardEvent): void => {
    const step = stepOf(event.key);
    if (step !== 0) {
      event.preventDefault();
      onMove(atSlice(place, cut, place[AXIS[cut]] + step, size));
    }
    // The library's own keys would change what the page's controls do not show.
    if (event.key !== "Tab") event.stopPropagation();
  };
  const drag = (event: PointerEvent): void => {
    const { movementX, movementY, buttons } = event;
    if (buttons === 2) onWindow((window) => dragged(window, movementX, movementY));
  };
  const scroll = (event: WheelEvent): void => {
    // Over a picture that nobody has clicked into, the page scrolls.
    if (document.activeElement !== canvas.current) event.stopPropagation();
  };
  return (
    <figure
      className="gliofed-pane"
      onKeyDownCapture={turn}
      onKeyUpCapture={(event) => event.stopPropagation()}
      onPointerMove={drag}
      onWheelCapture={scroll}
      onDoubleClickCapture={(event) => {
        event.stopPropagation();
        onEnlarge();
      }}
    >
      <figcaption>{name}</figcaption>
      <div className="gliofed-canvas">
        <canvas
          ref={canvas}
          tabIndex={0}
          role="slider"
          aria-label={name}
          aria-orientation="vertical"
          aria-valuemin={1}
          aria-valuemax={size[AXIS[cut]]}
          aria-valuenow={place[AXIS[cut]] + 1}
          aria-valuetext={says}
        />
      </div>
    </figure>
  );
}

/** Keeps a canvas drawn as its properties say. */
function usePicture(canvas: React.RefObject<HTMLCanvasElement | null>, props: Props): void {
  const { scan, overlays, view, place } = props;
  const [niivue, setNiivue] = useState<Niivue | null>(null);
  const told = useRef(props);
  useEffect(() => {
    told.current = props;
  });

  useEffect(() => {
    const element = canvas.current;
    if (!element) return undefined;
    const made = aNiivue();
    let isGone = false;
    const start = async (): Promise<void> => {
      try {
        await made.attachToCanvas(element);
        if (isGone) return;
        made.addVolume(told.current.scan);
        made.onLocationChange = () => told.current.onMove(placeOf(made));
        setNiivue(made);
      } catch {
        if (!isGone) told.current.onFailed();
      }
    };
    void start();
    return () => {
      isGone = true;
      told.current.onDrawn(null);
      made.cleanup();
      element.getContext("webgl2")?.getExtension("WEBGL_lose_context")?.loseContext();
    };
  }, [canvas]);

  useEffect(() => {
    niivue?.setSliceType(SLICES[view.plane]);
  }, [niivue, view.plane]);

  const { level, width } = view.window;
  useEffect(() => {
    if (!niivue) return;
    [scan.cal_min, scan.cal_max] = grayOf({ level, width }, scan.robust_min ?? 0, scan.robust_max ?? 1);
    niivue.refreshLayers(scan, 0);
    niivue.drawScene();
  }, [niivue, scan, level, width]);

  useEffect(() => {
    if (!niivue) return;
    for (const name of OVERLAYS) {
      const overlay = overlays[name];
      if (!overlay) continue;
      overlay.opacity = view.opacity[name] / 100;
      if (!niivue.volumes.includes(overlay)) niivue.addVolume(overlay);
    }
    niivue.updateGLVolume();
  }, [niivue, overlays, view.opacity]);

  useEffect(() => {
    if (!niivue || placeOf(niivue).join() === place.join()) return;
    niivue.scene.crosshairPos = niivue.vox2frac([...place]);
    niivue.drawScene();
  }, [niivue, place]);

  useEffect(() => {
    if (!niivue) return;
    const zoom = view.zoom / 100;
    const [x = 0, y = 0, z = 0] = niivue.frac2mm(niivue.scene.crosshairPos);
    niivue.setPan2Dxyzmm([(1 - zoom) * x, (1 - zoom) * y, (1 - zoom) * z, zoom]);
  }, [niivue, view.zoom]);

  // Last, so that all above has been drawn.
  useEffect(() => {
    if (niivue) told.current.onDrawn(niivue);
  }, [niivue]);
}

function aNiivue(): Niivue {
  return new Niivue({
    isRadiologicalConvention: true,
    fontMinPx: 14,
    fontColor: [1, 1, 1, 1],
    crosshairColor: [1, 1, 1, 0.7],
    multiplanarShowRender: SHOW_RENDER.NEVER,
    crosshairWidth: 0.8,
    crosshairWidthUnit: "mm",
    crosshairGap: 8,
    dragAndDropEnabled: false,
    showLegend: false,
    logLevel: "error",
    mouseEventConfig: {
      leftButton: { primary: DRAG_MODE.crosshair },
      rightButton: DRAG_MODE.none,
      centerButton: DRAG_MODE.pan,
    },
  });
}

function placeOf(niivue: Niivue): Place {
  const [x = 0, y = 0, z = 0] = niivue.frac2vox(niivue.scene.crosshairPos);
  return [x, y, z];
}
