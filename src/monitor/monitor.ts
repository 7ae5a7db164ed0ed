import type { Inspection } from '../pool/inspection.ts';
import type { KeyState } from '../pool/key-state.ts';
import type { Operator } from '../pool/operator.ts';
import type { Observer } from '../service/observer.ts';
import type { WaitingLines } from '../service/waiting-line.ts';
import type { Service } from '../shared/api-key.ts';
import type { Clock } from '../shared/clock.ts';
import type { Logger } from '../shared/logger.ts';
import type { Redact } from '../shared/redact.ts';
import { createKeyLedger } from './key-ledger.ts';
import { type KeyReport, reportKey } from './key-report.ts';
import { createLatest } from './latest.ts';
import { createMinutes } from './minutes.ts';
import { createOperatorDesk, type OperatorDesk } from './operator-desk.ts';
import { type Overview, reportOverview } from './overview.ts';

/** The models of each service that have a place of their own in what is reported; the first is the default. */
export type ReportedModels = Readonly<Record<Service, readonly [string, ...string[]]>>;

export interface MonitorOptions {
  readonly inspection: Inspection;
  readonly operator: Operator;
  readonly lines: WaitingLines;
  readonly models: ReportedModels;
  readonly mode: 'live' | 'demo';
  readonly clock: Clock;
  readonly log: Logger;
  readonly redact: Redact;
}

/** What whoever is on call sees and does. */
export interface Monitor {
  readonly observer: Observer;
  readonly desk: OperatorDesk;
  readonly models: ReportedModels;
  overview(): Overview;
  /** How each key of a service stands for a model. */
  states(service: Service, model: string): readonly KeyState[];
  /** @returns null when there is no such key */
  key(service: Service, model: string, id: string): KeyReport | null;
}

export function createMonitor(options: MonitorOptions): Monitor {
  const { inspection, operator, lines, models, clock, log, redact } = options;
  const ledger = createKeyLedger();
  const minutes = createMinutes();
  const latest = createLatest();
  const desk = createOperatorDesk({ operator, lines, log, redact, now: clock.now });
  const startedAt = clock.now();
  return {
    desk,
    models,
    observer: {
      attemptEnded: (attempt) => ledger.attemptEnded(attempt),
      requestEnded(request) {
        minutes.requestEnded(request);
        latest.requestEnded(request);
      },
    },
    overview: () => reportOverview({ ...options, startedAt, minutes, latest }, clock.now()),
    states: (service, model) => inspection.states(service, model),
    key(service, model, id) {
      const facts = inspection.facts(service, model, id);
      if (facts === null) return null;
      const now = clock.now();
      return reportKey({ facts, use: ledger.of(id, now), lastAction: desk.lastOf(id) }, now);
    },
  };
}
