// Temporary: until the real schemas are merged.
import type * as Reports from '../../../observability/reports.ts';

export interface Situation {
  id: string;
  kind: string;
  look: 'wait' | 'bad' | 'info';
  service: string | null;
  model: string | null;
  sentence: string;
  fault: 'us' | 'provider' | 'caller' | 'quota' | 'key' | 'network';
  since: string;
  until: string | null;
  untilText: string | null;
  remedy: string;
  keys: string[];
  keysInAll: number;
  requestsAffected: number;
  link: string | null;
}
export interface Totals {
  minutes: number;
  requests: number;
  answered: number;
  successPercent: number | null;
  p95FirstMs: number | null;
  tokensToday: number;
}
export interface Instance {
  id: string;
  isThis: boolean;
  startedAt: string;
  version?: string;
  redis: string | null;
  inFlight: number;
  requests: number;
  answered: number;
  memoryMb: number;
  lagMs: number | null;
}
export interface FailureGroup {
  kind: string | null;
  code: string | null;
  sentence: string;
  count: number;
  since: string;
  last: string;
  service: string;
  model: string | null;
  clients: string[];
  requestIds: string[];
}
export type Overview = Reports.Overview & {
  verdict?: { look: 'good' | 'wait' | 'bad'; situations: Situation[] };
  totals?: Totals;
  instances?: Instance[];
  failures?: FailureGroup[];
  silentInstances?: number;
};
export interface Check {
  verdict: 'works' | 'rejected' | 'no_quota' | 'no_credit' | 'unreachable' | 'unknown';
  sentence: string;
  at: string;
  ms: number;
}
export type KeyReport = Omit<Reports.KeyReport, 'state'> & {
  state: Reports.KeyReport['state'] | 'paused';
  origin?: 'environment' | 'file' | 'added';
  billing?: string | null;
  personaId?: string | null;
  lastCheck?: Check | null;
};
export interface KeysPage {
  total: number;
  keys: KeyReport[];
  next: string | null;
  storage?: 'redis' | 'file' | 'memory';
  lasts?: boolean;
  unreadable?: string[];
}
export type RequestReport = Reports.RequestReport & { client?: string | null };
export interface Point {
  at: string;
  requests: number;
  answered: number;
  fallbacks: number;
  refused: number;
  brokenOff: number;
  turnedAway: number;
  overBudget: number;
  tokens: number;
  p95FirstMs: number | null;
}
export interface History {
  stepSeconds: number;
  points: Point[];
}
export interface Incident {
  id: string;
  kind: string;
  service: string | null;
  model: string | null;
  sentence: string;
  cause: string;
  fault: Situation['fault'];
  from: string;
  to: string | null;
  requestsAffected: number;
  keys: string[];
  isNotified: boolean;
}
export interface Client {
  name: string;
  models: string[] | null;
  routes: string[] | null;
  requestsPerMinute: number | null;
  tokensPerMinute: number | null;
  requestsPerDay: number | null;
  tokensPerDay: number | null;
  weight: number;
  origin: 'environment' | 'added';
  createdAt: string | null;
  lastUsedAt: string | null;
  used: { requestsMinute: number; tokensMinute: number; requestsDay: number; tokensDay: number };
  refused: number;
}
export interface ClientList {
  storage: 'redis' | 'file' | 'memory';
  lasts: boolean;
  models: string[];
  clients: Client[];
}
export interface UsageRow {
  day?: string;
  client?: string;
  key?: string;
  model?: string;
  requests: number;
  attempts: number;
  failovers: number;
  inputTokens: number;
  outputTokens: number;
  cachedTokens: number;
  thoughtTokens: number;
  cost: number | null;
}
export interface Usage {
  from: string;
  to: string;
  by: string[];
  currency: string | null;
  rows: UsageRow[];
  totals: UsageRow;
  isCut: boolean;
}
