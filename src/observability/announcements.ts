import type { Clock } from '../shared/clock.ts';
import type { AlertEvent, Alerts } from './alerts.ts';
import { type Notice, reportIncident, type StoredIncident } from './incident-report.ts';

/** The shortest time between two announced beginnings of one subject. */
const PAUSE_MS = 900_000;
/** Two incidents that were last seen within this time may end together: longer than an incident is bridged. */
const TOGETHER_MS = 120_000;
/** An instance that has not renewed its claim for this long has died. */
const CLAIM_MS = 60_000;
const CLAIM_BEAT_MS = 20_000;

type Notices = StoredIncident['notices'];
type NoticeName = keyof Notices;

const EVENTS = {
  began: 'incident.began',
  updated: 'incident.updated',
  ended: 'incident.ended',
} as const satisfies Record<NoticeName, AlertEvent>;
const NAMES = Object.keys(EVENTS) as NoticeName[];

export interface AnnouncementsOptions {
  readonly alerts: Alerts;
  /** The id of this process. */
  readonly instance: string;
  readonly clock: Pick<Clock, 'now'>;
  /** All incidents, open or ended. */
  readonly others: () => Promise<readonly StoredIncident[]>;
  /** Called when an announcement was sent or given up. */
  readonly settled: () => void;
}

/** A change that must be in the store before it takes effect. */
export interface AnnouncementStep {
  readonly notices: Notices;
  written(): void;
}

/** One instance claims each announcement in the store and sends it. When that instance has died, another one takes over. */
export class Announcements {
  readonly #options: AnnouncementsOptions;
  /** The outcome of this instance's announcements; null while one is being sent. */
  readonly #sending = new Map<string, 'sent' | 'failed' | null>();
  /** When another instance last renewed its claim, by our own clock. */
  readonly #beats = new Map<string, { readonly beat: number; readonly at: number }>();

  /** By subject: until when its beginning is not announced. */
  readonly #pauses = new Map<string, number>();

  constructor(options: AnnouncementsOptions) {
    this.#options = options;
  }

  /** Whether an announcement of the incident is still due. */
  isPending({ notices }: StoredIncident): boolean {
    const isClaimed = NAMES.some((name) => notices[name]?.state === 'claimed');
    return isClaimed || (notices.began?.state === 'sent' && notices.ended === undefined);
  }

  /** Null: nothing is due now. */
  async nextStep(incident: StoredIncident): Promise<AnnouncementStep | null> {
    const name = NAMES.find((one) => incident.notices[one]?.state === 'claimed');
    if (name !== undefined) return this.#stepOfClaim(incident, name);
    const due = this.#options.alerts.hasRoom() ? await this.#due(incident) : null;
    return due === null ? null : this.#claim(incident, due);
  }

  #stepOfClaim(incident: StoredIncident, name: NoticeName): AnnouncementStep | null {
    const { instance, clock } = this.#options;
    const { by, at, beat } = incident.notices[name] as Notice;
    const outcome = this.#sending.get(keyOf(incident, name));
    if (by !== instance || outcome === undefined) {
      const isDead = by === instance || this.#isSilent(incident, name, beat);
      return isDead && this.#options.alerts.hasRoom() ? this.#claim(incident, name) : null;
    }
    if (outcome === null) {
      return clock.now() - at < CLAIM_BEAT_MS ? null : this.#step(incident, name, 'claimed');
    }
    return this.#step(incident, name, outcome, () => this.#sending.delete(keyOf(incident, name)));
  }

  #isSilent(incident: StoredIncident, name: NoticeName, beat: number): boolean {
    const now = this.#options.clock.now();
    const key = keyOf(incident, name);
    const known = this.#beats.get(key);
    if (known?.beat === beat) return now - known.at >= CLAIM_MS;
    this.#beats.set(key, { beat, at: now });
    if (this.#beats.size > MAX_BEATS) this.#beats.delete([...this.#beats.keys()][0] ?? key);
    return false;
  }

  #claim(incident: StoredIncident, name: NoticeName): AnnouncementStep {
    return this.#step(incident, name, 'claimed', () => this.#send(incident, name));
  }

  #step(
    { notices, keysInAll }: StoredIncident,
    name: NoticeName,
    state: Notice['state'],
    written: () => void = () => {},
  ): AnnouncementStep {
    const { instance: by, clock } = this.#options;
    const beat = (notices[name]?.beat ?? 0) + 1;
    return {
      notices: { ...notices, [name]: { state, by, beat, at: clock.now(), keysInAll } },
      written,
    };
  }

  #send(incident: StoredIncident, name: NoticeName): void {
    const { alerts, settled } = this.#options;
    const key = keyOf(incident, name);
    this.#sending.set(key, null);
    void alerts.send(EVENTS[name], reportIncident(incident)).then((outcome) => {
      // The claim stays: another instance takes it over, or this one after its restart.
      if (outcome === 'stopped') return;
      this.#sending.set(key, outcome);
      settled();
    });
  }

  async #due(incident: StoredIncident): Promise<NoticeName | null> {
    const { began, updated, ended } = incident.notices;
    if (incident.to !== null) {
      return began?.state === 'sent' && ended === undefined ? 'ended' : null;
    }
    if (began === undefined) return (await this.#mayBegin(incident)) ? 'began' : null;
    return this.#hasMoreKeys(incident, updated ?? began) ? 'updated' : null;
  }

  /** Not before the pause after the last announced beginning of the subject is over. */
  async #mayBegin(incident: StoredIncident): Promise<boolean> {
    const { alerts, others, clock } = this.#options;
    if (!alerts.announces(incident)) return false;
    if (clock.now() < (this.#pauses.get(incident.subject) ?? 0)) return false;
    const all = await others();
    const before = all.filter(({ subject }) => subject === incident.subject);
    const last = Math.max(0, ...before.map(({ notices }) => notices.began?.at ?? 0));
    const isPart = all.some((other) => isPartOf(incident, other));
    const end = isPart ? clock.now() + TOGETHER_MS : last + PAUSE_MS;
    this.#pauses.set(incident.subject, end);
    return clock.now() >= end;
  }

  /** Whether further keys need action, and the pause after the last announcement is over. */
  #hasMoreKeys({ kind, keysInAll }: StoredIncident, last: Notice): boolean {
    const isLater = this.#options.clock.now() - last.at >= PAUSE_MS;
    return kind === 'key_needs_action' && keysInAll > last.keysInAll && isLater;
  }
}

/** Keys that need action while every key of the service is out for the same cause: one announcement is enough. */
const isPartOf = (incident: StoredIncident, outage: StoredIncident) =>
  incident.kind === 'key_needs_action' &&
  outage.kind === 'keys_out' &&
  outage.service === incident.service &&
  outage.cause === incident.cause &&
  incident.seenAt - outage.seenAt < TOGETHER_MS;

const MAX_BEATS = 1000;

const keyOf = ({ id }: StoredIncident, name: NoticeName) => `${id} ${name}`;
