import type { KeyCounts } from '../pool/counts.ts';
import type { Inspection } from '../pool/inspection.ts';
import type { UntilBy } from '../pool/key-state.ts';
import type { Cause } from '../pool/scope.ts';
import type { AttemptRecord } from '../service/observer.ts';
import { SERVICES, type Service } from '../shared/api-key.ts';
import { isoTime } from '../shared/iso-time.ts';
import type { Latest, RememberedRequest } from './latest.ts';
import type { Minutes } from './minutes.ts';
import type { ReportedModels } from './monitor.ts';

/** What answers at a glance; times are ISO 8601 in UTC. */
export type Overview = ReturnType<typeof reportOverview>;

export interface OverviewSources {
  readonly inspection: Inspection;
  readonly models: ReportedModels;
  readonly mode: 'live' | 'demo';
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly minutes: Minutes;
  readonly latest: Latest;
}

export function reportOverview(sources: OverviewSources, now: number) {
  const { inspection, mode, startedAt, minutes, latest } = sources;
  return {
    now: isoTime(now),
    startedAt: isoTime(startedAt),
    mode,
    services: SERVICES.map((service) => ({
      service,
      inFlight: inspection.inFlight(service),
      models: sources.models[service].map((model) => reportModel(inspection, service, model)),
    })),
    minutes: minutes.list(now).map((minute) => ({ ...minute, at: isoTime(minute.at) })),
    latest: latest.list().map(reportRequest),
  };
}

function reportModel(inspection: Inspection, service: Service, model: string): ModelReport {
  const { until, untilBy } = inspection.nextToReturn(service, model) ?? {};
  return {
    model,
    ...inspection.counts(service, model),
    causes: inspection.causes(service, model),
    nextReturnAt: until === undefined ? null : isoTime(until),
    nextReturnBy: untilBy ?? null,
  };
}

interface ModelReport extends KeyCounts {
  readonly model: string;
  /** Why keys cannot be had, and how many for each reason. */
  readonly causes: Readonly<Partial<Record<Cause, number>>>;
  /** When the first key that comes back by itself does; null when none is cooling down. */
  readonly nextReturnAt: string | null;
  /** Who says so; by a `rule` it is only tried again then. */
  readonly nextReturnBy: UntilBy | null;
}

function reportRequest(request: RememberedRequest) {
  const { requestId, service, operation, startedAt, ms, waitedMs, end, attemptsInAll } = request;
  return {
    requestId,
    service,
    operation,
    at: isoTime(startedAt + ms),
    ms,
    waitedMs,
    end: end.kind,
    code: end.kind === 'refused' ? end.code : null,
    attemptsInAll,
    attempts: request.attempts.map(reportAttempt),
  };
}

function reportAttempt(attempt: AttemptRecord) {
  const { key, model, outcome, isTrial, parked, ms, firstMs, usage } = attempt;
  return {
    key,
    model,
    outcome: outcome.kind,
    message: outcome.kind === 'success' ? null : outcome.message,
    isTrial,
    parkedUntil: parked === null ? null : isoTime(parked.until),
    ms,
    firstMs,
    tokens: usage?.totalTokens ?? null,
  };
}
