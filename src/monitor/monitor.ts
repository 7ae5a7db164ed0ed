import type { Inspection } from '../pool/inspection.ts';
import type { KeyState } from '../pool/key-state.ts';
import type { Operator } from '../pool/operator.ts';
import type { Observer } from '../service/observer.ts';
import type { WaitingLines } from '../service/waiting-line.ts';
import type { Service } from '../shared/api-key.ts';
import type { Clock } from '../shared/clock.ts';
import type { Colleagues } from '../shared/colleagues.ts';
import type { RedisState } from '../shared/common.ts';
import type { Logger } from '../shared/logger.ts';
import type { Redact } from '../shared/redact.ts';
import { createKeyLedger } from './key-ledger.ts';
import type { KeyReport } from './key-report.ts';
import { type AskedKey, createKeyReports } from './key-reports.ts';
import { createLatest } from './latest.ts';
import { createMinutes } from './minutes.ts';
import { createOperatorDesk, type OperatorDesk } from './operator-desk.ts';
import type { Overview } from './overview.ts';
import { createReleasedKeys } from './released-keys.ts';
import { createSharedOverview } from './shared-overview.ts';

/** The models of each service that have a place of their own in what is reported; the first is the default. */
export type ReportedModels = Readonly<Record<Service, readonly [string, ...string[]]>>;

export interface MonitorOptions {
  readonly inspection: Inspection;
  readonly operator: Operator;
  readonly lines: WaitingLines;
  readonly models: ReportedModels;
  readonly mode: 'live' | 'demo';
  /** How this process stands with Redis; null where there is none. */
  readonly redis: (() => RedisState) | null;
  /** What they have counted is told of too. */
  readonly colleagues: Colleagues;
  readonly clock: Clock;
  readonly log: Logger;
  readonly redact: Redact;
}

/** What whoever is on call sees and does: of all processes that serve the same callers. */
export interface Monitor {
  readonly observer: Observer;
  readonly desk: OperatorDesk;
  /** Our own limit for one address has refused a request. */
  turnedAway(): void;
  readonly models: ReportedModels;
  /** A second old at most, or two of what other processes have counted; new after an operator's action. */
  overview(): Promise<Overview>;
  /** How each key of a service stands for a model. */
  states(service: Service, model: string): readonly KeyState[];
  /** In the order in which they are asked for; a key that there is not is left out. */
  keys(asked: readonly AskedKey[]): Promise<readonly KeyReport[]>;
}

export function createMonitor(options: MonitorOptions): Monitor {
  const { inspection, operator, lines, models, clock, log, redact } = options;
  const ledger = createKeyLedger();
  const minutes = createMinutes();
  const latest = createLatest();
  const counted = { startedAt: clock.now(), minutes, latest };
  const released = createReleasedKeys(options);
  const overview = createSharedOverview({ ...options, ...counted, released });
  const { beforeRelease } = released;
  const acted = () => overview.renew();
  const acts = { beforeRelease, acted };
  const desk = createOperatorDesk({ operator, lines, log, redact, now: clock.now, ...acts });
  return {
    desk,
    models,
    turnedAway: () => minutes.turnedAway(clock.now()),
    observer: {
      attemptEnded(attempt) {
        ledger.attemptEnded(attempt);
        released.attemptEnded(attempt);
      },
      requestEnded(request) {
        minutes.requestEnded(request);
        latest.requestEnded(request);
      },
    },
    overview: overview.get,
    states: (service, model) => inspection.states(service, model),
    keys: createKeyReports({ ...options, ledger, desk }),
  };
}
