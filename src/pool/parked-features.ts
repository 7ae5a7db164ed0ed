/**
 * Features of special requests, such as `search`, that projects have refused for one target. A project's
 * plain requests go on. Times are milliseconds since the epoch.
 */
export class ParkedFeatures {
  /** By feature, then by project. */
  readonly #until = new Map<string, Map<string, number>>();
  #lastEnd = 0;

  /** Forgets all parks once the last one is over. */
  isEmpty(now: number): boolean {
    if (this.#until.size === 0) return true;
    if (this.#lastEnd <= now) this.#until.clear();
    return this.#until.size === 0;
  }

  /**
   * A later, shorter park never shortens a longer one.
   *
   * @returns until when the feature is parked
   */
  park(project: string, feature: string, until: number): number {
    const projects = this.#until.get(feature) ?? new Map<string, number>();
    this.#until.set(feature, projects);
    const longest = Math.max(until, projects.get(project) ?? 0);
    projects.set(project, longest);
    this.#lastEnd = Math.max(this.#lastEnd, longest);
    return longest;
  }

  isParked(project: string, feature: string, now: number): boolean {
    return (this.#until.get(feature)?.get(project) ?? 0) > now;
  }

  /** When the first project may be asked for this feature again; null when none is parked. */
  endsAt(feature: string, now: number): number | null {
    const ends = [...(this.#until.get(feature)?.values() ?? [])].filter((until) => until > now);
    return ends.length === 0 ? null : Math.min(...ends);
  }

  /** Opens every feature of the project. */
  release(project: string): void {
    for (const projects of this.#until.values()) projects.delete(project);
  }
}
