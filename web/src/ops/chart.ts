import { type Signal, useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import uPlot from 'uplot'
import { html } from '../html.ts'
import { points } from './live.ts'
import type { Point } from './rates.ts'

export interface Line {
  label: string
  of: (point: Point) => number | null
  /** The name of a colour in style.css. */
  colour: string
  dashed?: boolean
  text: (value: number) => string
}

interface ChartProps {
  title: string
  lines: Line[]
  /** The vertical axis reaches at least here. */
  atLeast: number
}

/** 1, 2, 5, 10, 20 …: there is no half of a call. */
const wholeSteps = Array.from({ length: 20 }, (_, n) => ([1, 2, 5][n % 3] ?? 1) * 10 ** Math.floor(n / 3))
const scheme = matchMedia('(prefers-color-scheme: dark)')

/** The last minutes of some figures. What it shows now is in its legend, as text. */
export function Chart({ title, lines, atLeast }: ChartProps) {
  const place = useRef<HTMLDivElement>(null)
  const chart = useRef<uPlot | null>(null)
  /** Where the pointer is; null: the legend shows the last point. */
  const pointed = useSignal<number | null>(null)
  const list = points.value
  useEffect(() => {
    const element = place.current as HTMLDivElement
    const make = () => {
      chart.current?.destroy()
      chart.current = new uPlot(optionsOf(element, { lines, atLeast, pointed }), dataOf(lines), element)
    }
    const resizing = new ResizeObserver(() =>
      chart.current?.setSize({ width: element.clientWidth, height: element.clientHeight }),
    )
    // Charts are not made in one go, so that the page answers in between.
    const making = setTimeout(() => {
      make()
      resizing.observe(element)
    })
    scheme.addEventListener('change', make)
    return () => {
      clearTimeout(making)
      scheme.removeEventListener('change', make)
      resizing.disconnect()
      chart.current?.destroy()
    }
  }, [])
  useEffect(() => chart.current?.setData(dataOf(lines)), [list])
  const shown = list[pointed.value ?? list.length - 1]
  return html`<figure class="chart">
    <figcaption>
      ${title}
      <ul>
        ${lines.map(({ label, of, colour, dashed, text }) => {
          const value = shown === undefined ? null : of(shown)
          return html`<li class=${`key ${colour} ${dashed ? 'dashed' : ''}`}>
            ${label} <b>${value === null ? '–' : text(value)}</b>
          </li>`
        })}
      </ul>
    </figcaption>
    <div ref=${place} class="plot" role="img" aria-label=${`Chart: ${title}, the last minutes`}></div>
  </figure>`
}

function dataOf(lines: Line[]): uPlot.AlignedData {
  const list = points.value
  return [list.map(({ atMs }) => atMs / 1_000), ...lines.map(({ of }) => list.map(of))]
}

interface ChartOptions {
  lines: Line[]
  atLeast: number
  pointed: Signal<number | null>
}

function optionsOf(element: HTMLElement, { lines, atLeast, pointed }: ChartOptions): uPlot.Options {
  const style = getComputedStyle(element)
  /** Resolved for light or dark, which a canvas does not do by itself. */
  const colour = (name: string) => {
    element.style.color = `var(--${name})`
    return style.color
  }
  const font = `11px ${style.fontFamily}`
  const axis = { font, stroke: colour('soft'), grid: { stroke: colour('line'), width: 1 }, ticks: { show: false } }
  return {
    width: element.clientWidth,
    height: element.clientHeight,
    legend: { show: false },
    cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
    hooks: {
      setCursor: [
        ({ cursor }) => {
          pointed.value = cursor.idx ?? null
        },
      ],
    },
    padding: [8, 28, 0, 0],
    scales: { y: { range: (_chart, _min, max) => [0, Math.max(atLeast, max ?? 0) * 1.05] } },
    axes: [
      { ...axis, size: 24, space: 80, values: '{HH}:{mm}:{ss}' },
      { ...axis, size: 40, space: 28, incrs: wholeSteps },
    ],
    series: [
      {},
      ...lines.map(({ colour: name, dashed }) => ({
        stroke: colour(name),
        width: 2,
        points: { show: false },
        spanGaps: true,
        ...(dashed ? { dash: [4, 4] } : {}),
      })),
    ],
  }
}
