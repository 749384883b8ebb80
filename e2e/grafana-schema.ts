import type { Dashboard, DataQuery, GraphFieldConfig, Panel } from '@grafana/schema'
import type { Options as BarGauge } from '@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen'
import type { Options as Stat } from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen'
import type { Options as TimeSeries } from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen'

/**
 * A dashboard as a file may be: Grafana's own schema as its package has it, as JSON, with the panels that we use and
 * everything by which a panel can be found and read. The test has the files checked against this by the compiler.
 */
export type DashboardFile = Json<Omit<Dashboard, 'panels'>> & {
  uid: string
  title: string
  tags: string[]
  panels: (
    | PanelFile<'timeseries', TimeSeries, GraphFieldConfig>
    | PanelFile<'stat', Stat>
    | PanelFile<'bargauge', BarGauge>
  )[]
}

type PanelFile<Type extends string, Options, Custom = never> = Json<Omit<Panel, Typed | 'fieldConfig'>> & {
  id: number
  type: Type
  title: string
  description: string
  datasource: PrometheusSource
  gridPos: { x: number; y: number; w: number; h: number }
  options: Json<Options>
  fieldConfig: {
    defaults: Json<Omit<FieldDefaults, 'custom'>> & { unit: string; custom?: Json<Custom> }
    overrides: []
  }
  targets: Query[]
}

type Typed = 'type' | 'title' | 'description' | 'datasource' | 'gridPos' | 'options' | 'targets' | 'id'
type FieldDefaults = NonNullable<Panel['fieldConfig']>['defaults']

interface PrometheusSource {
  type: 'prometheus'
  uid: 'prometheus'
}

interface Query extends Pick<Json<DataQuery>, 'refId'> {
  refId: string
  datasource: PrometheusSource
  expr: string
  legendFormat: string
  range?: boolean
  instant?: boolean
  format?: 'time_series' | 'heatmap'
}

/** Enums as the texts that stand for them in a file. */
type Json<T> = unknown extends T
  ? T
  : T extends string
    ? `${T}`
    : T extends readonly (infer Item)[]
      ? Json<Item>[]
      : T extends object
        ? { [Key in keyof T]: Json<T[Key]> }
        : T
