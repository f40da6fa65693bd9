import { ExpandableSection, Flex, FlexItem, Title } from "@patternfly/react-core";
import { Table, Tbody, Td, Th, Thead, Tr } from "@patternfly/react-table";
import { AxisBottom, AxisLeft } from "@visx/axis";
import { scaleLinear } from "@visx/scale";
import { useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { numberOf } from "./format";
import { digitsOf, endsOf, extentOf, figuresOf, type Line, type Look, looksOf, pathOf, wholeTicks } from "./linePlot";

interface Props {
  title: string;
  xTitle: string;
  yTitle: string;
  lines: readonly Line[];
  /** Digits after the point. */
  digits?: number;
  /** A value that others are read against. */
  reference?: { y: number; name: string };
}

const HEIGHT = 260;
const ROOM = { top: 12, right: 14, bottom: 44, left: 58 };
const SUBTLE = "var(--pf-t--global--text--color--subtle)";
const FAINT = "var(--pf-t--global--border--color--default)";
/** With more points, markers and hints would hide the lines and slow the page. */
const MOST_MARKS = 30;
const MOST_HINTS = 200;
/** With more lines, the table says it better than one long sentence. */
const MOST_SPOKEN = 6;

function useWidth() {
  const ref = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(480);
  useEffect(() => {
    if (!ref.current) return undefined;
    const watching = new ResizeObserver(([entry]) => entry && setWidth(Math.max(240, entry.contentRect.width)));
    watching.observe(ref.current);
    return () => watching.disconnect();
  }, []);
  return [ref, width] as const;
}

function Swatch({ color, dashes, mark, width }: Look) {
  return (
    <svg width={36} height={12} aria-hidden="true">
      <line x1={0} x2={36} y1={6} y2={6} stroke={color} strokeWidth={width} strokeDasharray={dashes} />
      <path d={mark} transform="translate(18,6)" fill={color} stroke={color} strokeWidth={1.5} />
    </svg>
  );
}

function Figures({ xTitle, lines, digits }: { xTitle: string; lines: readonly Line[]; digits: number }) {
  const figures = figuresOf(lines);
  return (
    <Table variant="compact" gridBreakPoint="" aria-label={xTitle}>
      <Thead>
        <Tr>
          <Th>{xTitle}</Th>
          {lines.map(({ name }) => (
            <Th key={name}>{name}</Th>
          ))}
        </Tr>
      </Thead>
      <Tbody>
        {figures.map(({ x, values }) => (
          <Tr key={x}>
            <Th>{x}</Th>
            {lines.map(({ name }, place) => (
              <Td key={name}>{typeof values[place] === "number" ? numberOf(values[place], digits) : "–"}</Td>
            ))}
          </Tr>
        ))}
      </Tbody>
    </Table>
  );
}

/** Lines over whole numbers, with a legend and the same figures as a table. */
export function LinePlot({ title, xTitle, yTitle, lines, digits = 3, reference }: Props) {
  const { t } = useTranslation("federation");
  const [ref, outer] = useWidth();
  const [isOpen, setOpen] = useState(false);
  const xs = extentOf(lines.flatMap(({ points }) => points.map(({ x }) => x)));
  const ys = extentOf([...lines.flatMap(({ points }) => points.map(({ y }) => y)), reference?.y ?? null]);
  const known = lines.flatMap((line) => {
    const ends = endsOf(line);
    return ends ? [{ name: line.name, ...ends }] : [];
  });
  const spoken = [
    `${title}.`,
    ...known.slice(0, MOST_SPOKEN).map(({ name, first, last }) =>
      t("plot.ends", {
        name,
        first: numberOf(first.y, digits),
        from: first.x,
        last: numberOf(last.y, digits),
        to: last.x,
      }),
    ),
  ];
  const [width, height] = [outer - ROOM.left - ROOM.right, HEIGHT - ROOM.top - ROOM.bottom];
  const looks = looksOf(lines);
  const x = scaleLinear<number>({ domain: xs ?? [0, 1], range: [0, width] });
  const y = scaleLinear<number>({ domain: ys ?? [0, 1], range: [height, 0], nice: true });
  const yTicks = y.ticks(5);
  const figures = figuresOf(lines);
  const every = Math.max(1, Math.ceil(figures.length / MOST_MARKS));
  const label = { fill: SUBTLE, fontSize: 12, fontFamily: "inherit" };
  const axis = { stroke: SUBTLE, tickStroke: SUBTLE };
  return (
    <div ref={ref}>
      <Title headingLevel="h3" size="md">
        {title}
      </Title>
      {known.length === 0 ? (
        <p>{t("plot.nothing")}</p>
      ) : (
        <>
          <svg width={outer} height={HEIGHT} role="img" aria-label={spoken.join(" ")}>
            <g transform={`translate(${ROOM.left},${ROOM.top})`}>
              {yTicks.map((tick) => (
                <line key={tick} x2={width} y1={y(tick)} y2={y(tick)} stroke={FAINT} />
              ))}
              {reference && (
                <g>
                  <line x2={width} y1={y(reference.y)} y2={y(reference.y)} stroke={SUBTLE} strokeDasharray="1 3" />
                  <text x={width} y={y(reference.y) - 4} textAnchor="end" {...label}>
                    {reference.name}
                  </text>
                </g>
              )}
              {lines.toReversed().map((line) => {
                const look = looks[lines.indexOf(line)];
                if (!look) return null;
                return (
                  <g key={line.name} stroke={look.color}>
                    <path
                      d={pathOf(line.points, x, y)}
                      fill="none"
                      strokeWidth={look.width}
                      strokeDasharray={look.dashes}
                    />
                    {line.points.map((point, place) =>
                      point.y === null || place % every ? null : (
                        <path
                          key={point.x}
                          d={look.mark}
                          transform={`translate(${x(point.x)},${y(point.y)})`}
                          fill={look.color}
                          strokeWidth={1.5}
                        />
                      ),
                    )}
                  </g>
                );
              })}
              <AxisBottom
                scale={x}
                top={height}
                tickValues={xs ? wholeTicks(xs[0], xs[1], Math.max(2, width / 45)) : []}
                tickFormat={String}
                label={xTitle}
                labelOffset={8}
                labelProps={{ ...label, textAnchor: "middle" }}
                tickLabelProps={{ ...label, textAnchor: "middle" }}
                {...axis}
              />
              <AxisLeft
                scale={y}
                tickValues={yTicks}
                tickFormat={(value) => numberOf(Number(value), digitsOf(yTicks))}
                label={yTitle}
                labelOffset={36}
                labelProps={{ ...label, textAnchor: "middle" }}
                tickLabelProps={{ ...label, textAnchor: "end", dx: -4, dy: 4 }}
                {...axis}
              />
              {figures.length <= MOST_HINTS &&
                figures.map((row) => (
                  <rect
                    key={row.x}
                    x={x(row.x) - width / figures.length / 2}
                    width={width / figures.length}
                    height={height}
                    fill="transparent"
                  >
                    <title>
                      {[
                        `${xTitle} ${row.x}`,
                        ...lines.flatMap(({ name }, place) => {
                          const value = row.values[place];
                          return typeof value === "number" ? [`${name}: ${numberOf(value, digits)}`] : [];
                        }),
                      ].join("\n")}
                    </title>
                  </rect>
                ))}
            </g>
          </svg>
          <Flex component="ul" columnGap={{ default: "columnGapMd" }} aria-label={t("plot.legend")}>
            {lines.map(({ name }, place) => (
              <FlexItem component="li" key={name}>
                {looks[place] && <Swatch {...looks[place]} />} {name}
              </FlexItem>
            ))}
          </Flex>
          <ExpandableSection
            toggleText={t("plot.figures", { title })}
            isExpanded={isOpen}
            onToggle={(_event, open) => setOpen(open)}
            isIndented
          >
            {isOpen && <Figures xTitle={xTitle} lines={lines} digits={digits} />}
          </ExpandableSection>
        </>
      )}
    </div>
  );
}
