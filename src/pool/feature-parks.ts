import type { RequestShape } from '../shared/request-shape.ts';

/**
 * The features of special requests that one model does not get from a project for a while. Such a
 * park leaves the project's plain requests alone. Times are milliseconds since the epoch.
 */
export class FeatureParks {
  /** By feature, then by project. */
  readonly #until = new Map<string, Map<string, number>>();

  get isEmpty(): boolean {
    return this.#until.size === 0;
  }

  /** A later, shorter park never shortens a longer one. @returns until when it is parked now */
  park(project: string, feature: string, until: number): number {
    const projects = this.#until.get(feature) ?? new Map<string, number>();
    this.#until.set(feature, projects);
    const longest = Math.max(until, projects.get(project) ?? 0);
    projects.set(project, longest);
    return longest;
  }

  isParked(project: string, feature: string, now: number): boolean {
    const until = this.#until.get(feature)?.get(project);
    if (until === undefined) return false;
    if (until > now) return true;
    this.#open(project, feature);
    return false;
  }

  /** When the first project may be asked again for the feature of such a request; null when none is parked. */
  endsAt(shape: () => RequestShape, now: number): number | null {
    if (this.isEmpty) return null;
    const projects = this.#until.get(shape().feature ?? '');
    const ends = [...(projects?.values() ?? [])].filter((until) => until > now);
    return ends.length === 0 ? null : Math.min(...ends);
  }

  /** Opens every feature of the project. */
  release(project: string): void {
    for (const feature of [...this.#until.keys()]) this.#open(project, feature);
  }

  #open(project: string, feature: string): void {
    const projects = this.#until.get(feature);
    projects?.delete(project);
    if (projects?.size === 0) this.#until.delete(feature);
  }
}
