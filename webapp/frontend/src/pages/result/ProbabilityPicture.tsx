import { AxisBottom } from "@visx/axis";
import { useTranslation } from "react-i18next";
import { percentOf } from "../../parts/format";
import { type Head, type HeadAnswer, shareOf } from "./answer";
import { MARGIN, placesOf, scaleOf, WIDTHS } from "./places";

const TRACK = { y: 30, height: 30 };
const AXIS = TRACK.y + TRACK.height + 8;
const HEIGHT = AXIS + 32;
/** With the name of the line below. */
const HIGHER = HEIGHT + 28;

interface Props {
  head: Head;
  answer: HeadAnswer;
}

/** A probability on a scale from 0 to 100 %, with how far it may be wrong, and the line that divides the answers. */
export function ProbabilityPicture({ head, answer }: Props) {
  const { t } = useTranslation("result");
  const width = WIDTHS[head];
  const { band, mark, line } = placesOf(answer, width);
  const { probability, interval } = answer;
  if (mark === null || probability === null) return null;
  const told = [
    t(`${head}.picture`, { answer: t(`${head}.${answer.outcome}.title`), probability: shareOf(probability) }),
    interval && t("picture.range", { low: percentOf(interval[0]), high: percentOf(interval[1]) }),
    answer.line !== null && t("picture.line", { line: percentOf(answer.line) }),
  ];
  return (
    <svg
      viewBox={`0 0 ${width} ${line === null ? HEIGHT : HIGHER}`}
      role="img"
      aria-label={told.filter(Boolean).join(" ")}
      className="gliofed-probability"
      style={{ maxWidth: `${width / 16}rem` }}
    >
      <text x={MARGIN} y={18}>
        ← {t(`${head}.end.lower`)}
      </text>
      <text x={width - MARGIN} y={18} textAnchor="end">
        {t(`${head}.end.upper`)} →
      </text>
      <rect className="gliofed-track" x={MARGIN} y={TRACK.y} width={width - 2 * MARGIN} height={TRACK.height} rx={3} />
      {band && (
        <rect className="gliofed-band" x={band.x} y={TRACK.y + 4} width={band.width} height={TRACK.height - 8} rx={3} />
      )}
      {line !== null && answer.line !== null && (
        <>
          <line className="gliofed-line" x1={line} x2={line} y1={TRACK.y - 6} y2={AXIS} />
          <text x={Math.min(Math.max(line, 90), width - 90)} y={HIGHER - 6} textAnchor="middle">
            {t("line", { line: percentOf(answer.line) })}
          </text>
        </>
      )}
      <path
        className="gliofed-mark"
        d={`M${mark - 8} ${TRACK.y - 8}h16l-5 9v${TRACK.height - 2}l5 9h-16l5 -9v-${TRACK.height - 2}z`}
      />
      <AxisBottom
        scale={scaleOf(width)}
        top={AXIS}
        tickValues={[0, 0.25, 0.5, 0.75, 1]}
        tickFormat={(value) => percentOf(Number(value))}
        tickLength={5}
        axisClassName="gliofed-axis"
        tickLabelProps={{ textAnchor: "middle", dy: "0.5em", fontSize: 15 }}
      />
    </svg>
  );
}
