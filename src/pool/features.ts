import type { FailureKind } from '../shared/failure.ts';

/** Of one project: the oldest is forgotten. */
const MAX_PARKS = 16;
const MAX_ANSWERED = 32;

/** Features refused together: a request that has them all, and perhaps more, would be refused too. */
export interface ParkedFeature {
  readonly features: readonly string[];
  readonly cause: FailureKind;
  /** Milliseconds since the epoch. */
  readonly since: number;
  readonly until: number;
}

/**
 * What is special about requests, such as `search`, and was refused by projects for one target. A project's plain
 * requests go on. Times are milliseconds since the epoch.
 */
export class ParkedFeatures {
  readonly #byProject = new Map<string, readonly ParkedFeature[]>();
  /** Answered while something was parked, the latest last. */
  #answered: readonly (readonly string[])[] = [];
  #lastEnd = 0;

  /** Forgets everything once the last park is over. */
  isEmpty(now: number): boolean {
    if (this.#lastEnd > now) return false;
    if (this.#lastEnd > 0) {
      this.#byProject.clear();
      this.#answered = [];
      this.#lastEnd = 0;
    }
    return true;
  }

  /**
   * A later, shorter park never shortens a longer one.
   *
   * @returns until when the features are parked
   */
  park(project: string, found: ParkedFeature): number {
    const parks = this.#byProject.get(project) ?? [];
    const before = parks.find((one) => includesAll(one.features, found.features, 'exactly'));
    const until = Math.max(found.until, before?.until ?? 0);
    const others = parks.filter((one) => one !== before).slice(1 - MAX_PARKS);
    this.#byProject.set(project, [...others, { ...found, until }]);
    this.#lastEnd = Math.max(this.#lastEnd, until);
    return until;
  }

  /** Until when a project refuses a request with these features; 0 where it does not. */
  parkedUntil(project: string, features: readonly string[], now: number): number {
    let until = 0;
    for (const park of this.#byProject.get(project) ?? []) {
      if (park.until > now && includesAll(features, park.features)) {
        until = Math.max(until, park.until);
      }
    }
    return until;
  }

  /** When the first project may be asked for these features again; null when none refuses them. */
  endsAt(features: readonly string[], now: number): number | null {
    const ends = [...this.#byProject.keys()]
      .map((project) => this.parkedUntil(project, features, now))
      .filter((until) => until > 0);
    return ends.length === 0 ? null : Math.min(...ends);
  }

  /** A key has answered a request with these features. */
  answered(project: string, features: readonly string[]): void {
    const isDisproved = (park: ParkedFeature) => includesAll(features, park.features);
    const parks = this.#byProject.get(project) ?? [];
    if (parks.some(isDisproved)) {
      this.#byProject.set(
        project,
        parks.filter((park) => !isDisproved(park)),
      );
    }
    if (!this.isAnswered(features)) {
      this.#answered = [...this.#answered.slice(1 - MAX_ANSWERED), features];
    }
  }

  /** Whether a key has answered such a request, so that another key that refuses it does so for its own sake. */
  isAnswered(features: readonly string[]): boolean {
    return features.length > 0 && this.#answered.some((one) => includesAll(one, features));
  }

  /** Opens every feature of the project. */
  release(project: string): void {
    this.#byProject.delete(project);
  }

  /** What the project refuses now. */
  of(project: string, now: number): readonly ParkedFeature[] {
    return (this.#byProject.get(project) ?? []).filter(({ until }) => until > now);
  }
}

const includesAll = (all: readonly string[], some: readonly string[], exactly?: 'exactly') =>
  some.every((one) => all.includes(one)) && (exactly === undefined || all.length === some.length);
