import { Slider } from "@patternfly/react-core";
import { useId } from "react";

interface Props {
  label: string;
  value: number;
  min: number;
  max: number;
  step?: number;
  onChange: (value: number) => void;
}

/** A slider under its name, which tells its value. */
export function Labelled({ label, value, min, max, step = 1, onChange }: Props) {
  const id = useId();
  return (
    <div className="gliofed-slider">
      <span id={id}>{label}</span>
      <Slider
        aria-labelledby={id}
        value={value}
        min={min}
        max={max}
        step={step}
        showBoundaries={false}
        onChange={(_event, next) => onChange(next)}
      />
    </div>
  );
}
