// Charts: uPlot draws them; the same numbers stand in a table below, for those who read or who do not see them.
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { Source } from "./basics";
import { Table, column, number } from "./table";

export interface Line {
  name: string;
  /** Name of a colour in style.css. */
  color: "accent" | "foundation" | "burned" | "wait";
  values: (number | null)[];
}

interface Props {
  title: string;
  /** Unix seconds, ascending. */
  times: number[];
  lines: Line[];
  /** `days`: bars of UTC days; `minutes`: bars of minutes; `steps`: a value holds until the next. */
  kind: "days" | "minutes" | "steps";
  format: (value: number | null) => string;
  json: (string | [string, string])[];
  sql?: (string | null)[];
}

const color = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

const DAY = 86_400;
const MINUTE = 60;
/** Seconds of a bar, and distances of the marks below. */
const STEPS = { days: { width: DAY, marks: [DAY, 2 * DAY, 7 * DAY, 14 * DAY, 30 * DAY] }, minutes: { width: MINUTE, marks: [1, 2, 5, 10, 15, 30].map((minutes) => minutes * MINUTE) } };

/** A mark of the time axis; marks are so many seconds apart. */
function mark(stamp: number, kind: Props["kind"], apart: number): string {
  const at = new Date(stamp * 1000);
  if (kind === "minutes") return at.toLocaleTimeString("en", { hour: "2-digit", minute: "2-digit", hour12: false });
  const day = at.toLocaleDateString("en", { month: "short", day: "numeric", ...(kind === "days" ? { timeZone: "UTC" } : {}) });
  return apart < DAY ? day + " " + mark(stamp, "minutes", apart) : day;
}

function options({ lines, kind, format }: Pick<Props, "lines" | "kind" | "format">, width: number): uPlot.Options {
  const [ink, line] = [color("quiet"), color("line")];
  const font = "12px system-ui, sans-serif";
  const axis = { stroke: ink, font, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
  const bars = kind === "steps" ? null : STEPS[kind];
  const paths = kind === "steps" ? uPlot.paths.stepped?.({ align: 1 }) : uPlot.paths.bars?.({ size: [0.7, 40] });
  return {
    width,
    height: 200,
    ...(kind === "days" ? { tzDate: (stamp: number) => uPlot.tzDate(new Date(stamp * 1000), "Etc/UTC") } : {}),
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, points: { show: false } },
    scales: {
      // Half a bar's room at both ends.
      x: { range: (_chart, least, most) => [least - (bars?.width ?? 0) / 2, most + (bars?.width ?? 0) / 2] },
      y: { range: (_chart, _least, most) => [0, most > 0 ? most * 1.1 : 1] },
    },
    axes: [{ ...axis, ...(bars ? { incrs: bars.marks } : {}), values: (_chart, splits) => splits.map((split) => mark(split, kind, (splits[1] ?? split + DAY) - (splits[0] ?? split))), ...(bars ? {} : { space: 110 }) }, { ...axis, size: (_chart, values) => 24 + 7 * Math.max(0, ...(values ?? []).map((value) => value.length)), values: (_chart, splits) => splits.map((split) => format(split)) }],
    series: [
      {},
      ...lines.map(({ name, color: stroke }) => ({
        label: name, stroke: color(stroke), fill: kind === "steps" ? undefined : color(stroke), width: kind === "steps" ? 2 : 0, paths, points: { show: false },
      })),
    ],
  };
}

const moment = (stamp: number, kind: Props["kind"]): string => {
  const text = new Date(stamp * 1000).toISOString();
  return kind === "days" ? text.slice(0, 10) : text.slice(0, 16).replace("T", " ") + " UTC";
};

export function Chart({ title, times, lines, kind, format, json, sql }: Props): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const shape = JSON.stringify([times, lines, kind]);
  const enough = times.length > 1;
  useEffect(() => {
    const place = box.current;
    if (!place || !enough) return;
    let chart: uPlot | null = null;
    const draw = (): void => {
      chart?.destroy();
      const width = Math.max(220, Math.floor(place.clientWidth));
      chart = new uPlot(options({ lines, kind, format }, width), [times, ...lines.map(({ values }) => values)], place);
    };
    draw();
    let width = place.clientWidth;
    const watch = new ResizeObserver(() => {
      if (place.clientWidth === width) return;
      width = place.clientWidth;
      draw();
    });
    watch.observe(place);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", draw);
    return () => {
      watch.disconnect();
      dark.removeEventListener("change", draw);
      chart?.destroy();
    };
  }, [shape, enough]);
  const rows = times.map((stamp, index) => ({ stamp, values: lines.map(({ values }) => values[index] ?? null) })).reverse();
  return (
    <figure class="card chart">
      <figcaption>
        <b>{title}</b>
        <span class="keys">{lines.map(({ name, color }) => <span key={name}><i class={"line-" + color} aria-hidden="true" />{name}</span>)}</span>
      </figcaption>
      {enough ? <div ref={box} role="img" aria-label={title + ": the same numbers are in the table below"} /> : (
        <p class="none">{times.length === 0 ? "Nothing to draw yet." : "A chart begins with the second value; the first is in the table."}</p>
      )}
      {rows.length ? (
        <details>
          <summary>Table</summary>
          <Table
            label={title}
            columns={[column("Time", (row: (typeof rows)[number]) => moment(row.stamp, kind)), ...lines.map(({ name }, index) => number(name, (row: (typeof rows)[number]) => format(row.values[index] ?? null)))]}
            rows={rows}
            id={(row) => String(row.stamp)}
            none="nothing yet"
          />
        </details>
      ) : null}
      <Source json={json} sql={sql} />
    </figure>
  );
}
