import { type Clock, DAY_MS, isoTime, type Timer } from '../shared/clock.ts';
import {
  type DocumentChange,
  type DurableStore,
  StaleWriteError,
  type StoredDocument,
  StoreUnavailableError,
} from '../shared/durable-store.ts';
import type { Logger } from '../shared/logger.ts';
import type { Alerts } from './alerts.ts';
import { Announcements } from './announcements.ts';
import {
  type IncidentReport,
  readIncident,
  reportIncident,
  type StoredIncident,
} from './incident-report.ts';
import { SITUATIONS, type Situation, type Verdict } from './reports.ts';
import type { Troubles } from './troubles.ts';

/** Open incidents by their subject, and by their id the ended ones whose end is not announced yet. */
const OPEN = 'open-incidents';
/** Ended incidents by their id. */
const ENDED = 'incidents';

const TICK_MS = 3000;
/** A situation that lasts less is no incident. */
const CONFIRM_MS = 10_000;
/** A situation that returns within this time continues its incident: a quota that is spent in each minute is one incident. */
const BRIDGED_MS = 90_000;
/** How often an instance writes that it still sees an incident. */
const HEARTBEAT_MS = 10_000;
const KEPT_MS = 30 * DAY_MS;
const MAX_ENDED = 2000;
/** How many situations are followed at most; the gravest come first. */
const MAX_SEEN = 100;
/** An incident lists the requests of this many instances, and the sum of the others. */
const MAX_INSTANCES = 20;
const EARLIER = 'earlier';
export interface IncidentsOptions {
  readonly verdict: () => Verdict;
  readonly troubles: Troubles;
  readonly store: DurableStore;
  readonly clock: Clock;
  readonly log: Logger;
  /** The id of this process. */
  readonly instance: string;
  /** Null without `ALERT_WEBHOOK_URL`. */
  readonly alerts: Alerts | null;
}

/** A situation that this instance sees now or saw recently. Times are milliseconds since the epoch. */
interface Seen {
  situation: Situation;
  readonly firstAt: number;
  lastAt: number;
  /** What `affectedBy` counted that does not belong to this situation. */
  readonly base: number;
  affected: number;
  /** 0 for never. */
  writtenAt: number;
  /** Whether the store has its latest state. */
  isWritten: boolean;
}

export interface IncidentList {
  readonly incidents: readonly IncidentReport[];
  /** False while the store does not answer: these are the open ones that this instance knows, and those that it saw. */
  readonly isComplete: boolean;
}

interface Known {
  /** In its collection. */
  readonly name: string;
  readonly version: number;
  readonly incident: StoredIncident;
}

/**
 * Keeps situations that last as incidents in the store, each once for all instances. A call to the store that fails is
 * repeated at the next tick.
 */
export class Incidents {
  readonly #options: IncidentsOptions;
  readonly #seen = new Map<string, Seen>();
  #open = new Map<string, Known>();
  #isStale = true;
  #running: Promise<void> | null = null;
  #next: Timer | null = null;
  /** When a stored value was last seen to change, by our own clock: clocks of instances differ. */
  readonly #changes = new Map<string, { readonly value: number; readonly at: number }>();
  readonly #announcements: Announcements | null;

  constructor(options: IncidentsOptions) {
    this.#options = options;
    const { alerts, instance, clock } = options;
    const others = async () => {
      const ended = await options.store.read(ENDED);
      const open = [...this.#open.values()].map(({ incident }) => incident);
      return [...ended.flatMap((document) => readIncident(document) ?? []), ...open];
    };
    this.#announcements =
      alerts &&
      new Announcements({ alerts, instance, clock, others, settled: () => this.#write() });
    options.store.watch(OPEN, () => {
      this.#isStale = true;
    });
  }

  start(): void {
    this.#next = this.#options.clock.after(TICK_MS, () => {
      this.start();
      try {
        this.#look();
      } catch (error) {
        this.#report(error);
      }
    });
  }

  /** Writes the latest state. Stop the alerts before. */
  async stop(): Promise<void> {
    this.#next?.cancel();
    await this.#running;
    await this.#sync().catch(() => {});
  }

  /** Newest first, those of `since` or later. */
  async list(since: number): Promise<IncidentList> {
    const { store } = this.#options;
    const stored = await Promise.all([store.read(OPEN), store.read(ENDED)]).then(
      (documents) => documents.flat().flatMap((document) => readIncident(document) ?? []),
      () => null,
    );
    const known = stored ?? [...this.#open.values()].map(({ incident }) => incident);
    const all = new Map([...known, ...this.#unwritten(known)].map((one) => [one.id, one]));
    const incidents = [...all.values()]
      .filter(({ to, seenAt }) => (to ?? seenAt) >= since)
      .toSorted((one, other) => other.from - one.from)
      .map(reportIncident);
    return { incidents, isComplete: stored !== null };
  }

  /** What this instance has seen and the store does not have: a store that is down cannot take its own incident. */
  #unwritten(known: readonly StoredIncident[]): readonly StoredIncident[] {
    const { clock, instance } = this.#options;
    const now = clock.now();
    return [...this.#seen].flatMap(([subject, seen]) => {
      if (seen.isWritten || !isConfirmed(seen)) return [];
      const open = known.find((one) => one.subject === subject && one.to === null) ?? null;
      const to = now - seen.lastAt < BRIDGED_MS ? null : seen.lastAt;
      return [{ ...merged(open, seen, instance), to }];
    });
  }

  /** Looks at the present situations, and starts to write the store. */
  #look(): void {
    const { clock, verdict } = this.#options;
    const now = clock.now();
    for (const situation of verdict().situations) {
      if (isIncident(situation) && !this.#isAftermath(situation)) this.#see(situation, now);
    }
    for (const [subject, seen] of this.#seen) {
      if (this.#isForgotten(seen, now)) this.#seen.delete(subject);
    }
    this.#write();
  }

  /** Refusals during an outage belong to its incident. */
  #isAftermath({ kind, service }: Situation): boolean {
    if (kind !== 'refusals') return false;
    return [...this.#seen.values()].some(
      ({ situation }) => situation.service === service && situation.look === 'bad',
    );
  }

  #see(situation: Situation, now: number): void {
    const known = this.#seen.get(situation.id);
    if (known === undefined && this.#seen.size >= MAX_SEEN) return;
    const total = affectedBy(situation, this.#options.troubles, now);
    const base = known?.base ?? total - situation.requestsAffected;
    this.#seen.set(situation.id, {
      ...(known ?? { firstAt: now, writtenAt: 0 }),
      ...{ situation, base, lastAt: now, affected: Math.max(0, total - base) },
      isWritten: false,
    });
  }

  #isForgotten(seen: Seen, now: number): boolean {
    const { lastAt, isWritten } = seen;
    if (lastAt === now) return false;
    const isLost = now - lastAt > KEPT_MS;
    return !isConfirmed(seen) || isLost || (isWritten && now - lastAt >= BRIDGED_MS);
  }

  /** Runs once at a time, in the background. */
  #write(): void {
    this.#running ??= this.#sync()
      .catch((error: unknown) => {
        this.#isStale = true;
        this.#report(error);
      })
      .finally(() => {
        this.#running = null;
      });
  }

  /** A stale write and an unavailable store are expected: the next tick reads the store again. */
  #report(error: unknown): void {
    const isExpected = error instanceof StaleWriteError || error instanceof StoreUnavailableError;
    if (!isExpected) this.#options.log.error({ err: error }, 'incidents cannot be followed');
  }

  async #sync(): Promise<void> {
    const now = this.#options.clock.now();
    if (this.#isStale) await this.#read(now);
    for (const [subject, seen] of this.#seen) await this.#writeSeen(subject, seen, now);
    for (const known of [...this.#open.values()]) {
      if (known.incident.to === null) await this.#endOld(known, now);
      await this.#announce(known.incident.id);
      await this.#keep(known.incident.id);
    }
  }

  async #read(now: number): Promise<void> {
    this.#isStale = false;
    const documents = await this.#options.store.read(OPEN);
    const read = documents.flatMap((document) => {
      const incident = readIncident(document);
      return incident === null ? [] : [{ ...document, incident }];
    });
    this.#open = new Map(read.map((known) => [known.name, known]));
    const ids = new Set(read.map(({ incident }) => incident.id));
    for (const name of this.#changes.keys()) {
      if (!ids.has(name.split(' ', 1)[0] ?? '')) this.#changes.delete(name);
    }
    for (const { incident } of read) this.#lastChange(`${incident.id} seen`, incident.seenAt, now);
  }

  /** When this instance first saw this value. */
  #lastChange(name: string, value: number, now: number): number {
    const known = this.#changes.get(name);
    if (known?.value === value) return known.at;
    this.#changes.set(name, { value, at: now });
    return now;
  }

  async #change(known: Known | null, name: string, incident: StoredIncident): Promise<void> {
    const { store } = this.#options;
    const changed = { name, text: JSON.stringify(incident) };
    const isMoved = known !== null && known.name !== name;
    const changes: DocumentChange[] = isMoved
      ? [
          { name: known.name, text: null, ifVersion: known.version },
          { ...changed, ifVersion: 0 },
        ]
      : [{ ...changed, ifVersion: known?.version ?? 0 }];
    await store.write(OPEN, changes);
    if (isMoved) this.#open.delete(known.name);
    const version = isMoved ? 1 : (known?.version ?? 0) + 1;
    this.#open.set(name, { name, version, incident });
    this.#lastChange(`${incident.id} seen`, incident.seenAt, this.#options.clock.now());
  }

  async #writeSeen(subject: string, seen: Seen, now: number): Promise<void> {
    if (!isConfirmed(seen)) return;
    const isHere = now - seen.lastAt < 2 * TICK_MS;
    // While it lasts at each heartbeat, and once when it is gone.
    if (isHere ? now - seen.writtenAt < HEARTBEAT_MS : seen.isWritten) return;
    const known = this.#open.get(subject) ?? null;
    const { instance } = this.#options;
    await this.#change(known, subject, merged(known?.incident ?? null, seen, instance));
    seen.writtenAt = now;
    seen.isWritten = true;
  }

  /** Ends an incident that no instance has seen for a while, such as one of a process that died. */
  async #endOld(known: Known, now: number): Promise<void> {
    const { incident } = known;
    const ours = this.#seen.get(incident.subject);
    if (ours !== undefined && now - ours.lastAt < BRIDGED_MS) return;
    if (now - this.#lastChange(`${incident.id} seen`, incident.seenAt, now) < BRIDGED_MS) return;
    await this.#change(known, incident.id, { ...incident, to: incident.seenAt });
    this.#seen.delete(incident.subject);
  }

  #find(id: string): Known | undefined {
    return [...this.#open.values()].find(({ incident }) => incident.id === id);
  }

  /** Moves an ended incident to `ENDED` once all is announced. */
  async #keep(id: string): Promise<void> {
    const known = this.#find(id);
    if (known === undefined || known.incident.to === null) return;
    if (this.#announcements?.isPending(known.incident)) return;
    const { store } = this.#options;
    const { name, version, incident } = known;
    const expiresAt = known.incident.to + KEPT_MS;
    await store.write(ENDED, [{ name: id, text: JSON.stringify(incident), expiresAt }]);
    await store.write(OPEN, [{ name, text: null, ifVersion: version }]);
    this.#open.delete(name);
    await this.#forgetOldest();
  }

  async #forgetOldest(): Promise<void> {
    const { store } = this.#options;
    const documents = await store.read(ENDED);
    if (documents.length <= MAX_ENDED) return;
    const endOf = (document: StoredDocument) => readIncident(document)?.to ?? 0;
    const oldest = documents.toSorted((one, other) => endOf(one) - endOf(other));
    const tooMany = oldest.slice(0, documents.length - MAX_ENDED);
    await store.write(
      ENDED,
      tooMany.map(({ name }) => ({ name, text: null })),
    );
  }

  /** Writes each step of an announcement before doing it, so that only one instance does it. */
  async #announce(id: string): Promise<void> {
    for (let known = this.#find(id); known !== undefined; known = this.#find(id)) {
      const { name, incident } = known;
      const step = (await this.#announcements?.nextStep(incident)) ?? null;
      if (step === null) return;
      await this.#change(known, name, { ...incident, notices: step.notices });
      step.written();
    }
  }
}

const isConfirmed = ({ firstAt, lastAt }: Seen) => lastAt - firstAt >= CONFIRM_MS;

const isIncident = ({ look, kind }: Situation) => look !== 'info' && SITUATIONS[kind] !== 'none';

/** How many requests this kind of situation has affected since the start. */
function affectedBy({ kind, service, client, cause }: Situation, troubles: Troubles, now: number) {
  switch (kind) {
    case 'address_limit':
      return troubles.limiter(now).refused.total;
    case 'client_limit':
      return (
        troubles.clients(now).find((one) => one.client === client && one.limit === cause)?.refused
          .total ?? 0
      );
    case 'internal_errors':
      return troubles.bugs.total;
    case 'key_needs_action':
    case 'other_model':
      return 0;
    default: {
      if (service === null) return 0;
      const { outOfKeys, failed } = troubles.of(service);
      return outOfKeys.total + failed.total;
    }
  }
}

/** The stored incident with the view of this instance. */
function merged(
  known: StoredIncident | null,
  { situation, lastAt, affected }: Seen,
  instance: string,
): StoredIncident {
  const { id: subject, title, since, look: _, until: __, link: ___, ...others } = situation;
  const { requestsAffected: _first, ...seen } = others;
  const from = Math.min(known?.from ?? Number.POSITIVE_INFINITY, Date.parse(since));
  return {
    ...seen,
    sentence: title,
    subject,
    id: known?.id ?? idFor(subject, from, instance),
    from,
    seenAt: Math.max(known?.seenAt ?? 0, lastAt),
    to: null,
    affected: withinLimit({ ...known?.affected, [instance]: affected }),
    notices: known?.notices ?? {},
  };
}

/** `keys_out:google.20261124T180000Z.3f2a9c0b`. */
const idFor = (subject: string, from: number, instance: string) =>
  `${subject.replace(/\s+/g, '_')}.${isoTime(from).replace(/[-:]|\.\d+/g, '')}.${instance}`;

function withinLimit(affected: Readonly<Record<string, number>>): Record<string, number> {
  const { [EARLIER]: earlier = 0, ...others } = affected;
  const all = Object.entries(others);
  const tooMany = all.slice(0, Math.max(0, all.length - MAX_INSTANCES));
  const sum = tooMany.reduce((total, [, requests]) => total + requests, earlier);
  return {
    ...(sum === 0 ? {} : { [EARLIER]: sum }),
    ...Object.fromEntries(all.slice(tooMany.length)),
  };
}
