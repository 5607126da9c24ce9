import type { components } from "./schema";

type Schemas = components["schemas"];

export type Me = Schemas["Me"];
export type Grant = Schemas["Grant"];
export type User = Schemas["User"];
export type Token = Schemas["Token"];
export type Run = Schemas["Run"];
export type RunDetail = Schemas["RunDetail"];
export type RunGraph = Schemas["Graph"];
export type RunAttempts = Schemas["RunAttempts"];
export type Task = Schemas["Task"];
export type Attempt = Schemas["Attempt"];
export type PodEvent = Schemas["PodEvent"];
export type Version = Schemas["Version"];
export type Diff = Schemas["Diff"];
export type Change = Schemas["Change"];
export type Tick = Schemas["Tick"];
export type Grid = Schemas["Grid"];
export type GridRun = Schemas["GridRun"];
export type Statistics = Schemas["Statistics"];
export type Day = Schemas["Day"];
export type TaskCounts = Schemas["TaskCounts"];
export type WaitingTask = Schemas["WaitingTask"];
export type MissedTick = Schemas["MissedTick"];
/** Written is a DAG or a DagTask after a change. Its warnings say what may undo the change. */
export type Written = Schemas["Object"];

/** Unavailable is a namespace that the server cannot read now, and why. */
export type Unavailable = Schemas["UnavailableNamespaces"][number];

/** Incomplete is a list that may lack what is in namespaces that are unavailable. */
export interface Incomplete {
  unavailableNamespaces?: Unavailable[];
}

/** Page is a part of a list. next and previous are cursors. */
export interface Page<T> extends Incomplete {
  items: T[];
  next?: string;
  previous?: string;
}

export type Role = "viewer" | "operator" | "editor";

/** DagRun of the last twenty of a DAG. */
export interface RecentRun {
  uid: string;
  name: string;
  phase: Run["phase"];
  createdAt: string;
  startedAt?: string;
  finishedAt?: string;
}

/** DAG is a DAG as the API server has it now, with its last runs. */
export interface DAG {
  namespace: string;
  name: string;
  uid: string;
  generation?: number;
  createdAt: string;
  deletedAt?: string;
  labels?: Record<string, string>;
  schedule?: { cron: string[]; timeZone?: string };
  suspended: boolean;
  valid: boolean | null;
  message?: string;
  readOnly: boolean;
  manager?: string;
  nextDueAt?: string;
  typicalDurationSeconds?: number;
  runs: RecentRun[];
}

export interface Parameter {
  name: string;
  defaultValue?: string;
  defaultFromSecret?: string;
  defaultSecretKeyRef?: { name: string; key: string };
}

/** TaskSpec is the part of a task of a spec that is shown. */
export interface TaskSpec {
  name: string;
  runAfter?: string[];
  image?: string;
  command?: string[];
  args?: string[];
  script?: string;
  parameters?: string[];
  taskRef?: { name: string; version?: number };
  backoff?: { limit?: number };
  activeDeadlineSeconds?: number;
}

export interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace: string; [key: string]: unknown };
  spec: { task?: TaskSpec[]; parameters?: Parameter[]; [key: string]: unknown };
  status?: unknown;
}

/** DAGDetail is a DAG with its manifest, which a deleted one no longer has. */
export type DAGDetail = DAG & { manifest?: Manifest };

export interface DagTask {
  namespace: string;
  name: string;
  uid: string;
  generation: number;
  createdAt: string;
  labels?: Record<string, string>;
  readOnly: boolean;
  manager?: string;
  valid?: boolean | null;
  message?: string;
}

export type DagTaskDetail = DagTask & { manifest: Manifest };

export interface Namespace {
  name: string;
  role?: Role;
  dags?: number;
}

export interface Upcoming {
  namespace: string;
  dag: string;
  dueAt: string;
}

/** PendingRun is a DagRun that has no row yet. */
export interface PendingRun {
  namespace: string;
  name: string;
  uid: string;
  dag: string;
  createdAt: string;
  reason?: string;
  message?: string;
  admitted: false;
}

export interface Some<T> extends Incomplete {
  items: T[];
  hasMore: boolean;
}

/** Attention is what somebody should look at. */
export type Attention = Schemas["Attention"] & {
  invalid?: Some<{ namespace: string; name: string; message?: string; since?: string }>;
  pending?: Some<PendingRun>;
};

/** RunParameter is a resolved parameter of a run: a value, or a Secret and a key in it. */
export interface RunParameter {
  name: string;
  value?: string;
  secret?: string;
  key?: string;
}

/** ParameterValue is a parameter that a DagRun sets. A secret one names its Secret. */
export interface ParameterValue {
  name: string;
  value?: string;
  fromSecret?: string;
  secretKeyRef?: { name: string; key: string };
}

export interface Created {
  namespace: string;
  name: string;
  uid: string;
  admitted: boolean;
}
