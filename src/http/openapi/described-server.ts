/** What of its settings decides what a server's document says. */
export interface DescribedServer {
  /** The first is the default. */
  readonly models: readonly string[];
  /** Whether programs have tokens; without, their routes do not exist. */
  readonly servesPrograms: boolean;
  /** Whether there is an admin token; without, what it opens does not exist. */
  readonly servesAdmin: boolean;
  readonly allowClientPersona: boolean;
  /** 0 is off. */
  readonly chatPerMinute: number;
  readonly sessionsPerMinute: number;
}
