import type { Book } from './book.ts';
import type { Candidate } from './candidate.ts';
import type { CandidateSets } from './candidate-sets.ts';
import type { Known, Subject } from './health.ts';
import type { Scope } from './scope.ts';

/** What a pool knows of its scopes, for those who bring it news of other processes. */
export interface Knowledge {
  /** @returns null when there is no such key, project or model here */
  find(subject: Subject): Scope | null;
  /** Every scope that other processes may know of. */
  all(): Iterable<Scope>;
  /** @returns whether that was news */
  learn(scope: Scope, known: Known): boolean;
  /** Nobody elsewhere tries it any longer. */
  probeOver(scope: Scope): void;
}

export function createKnowledge(lanes: CandidateSets, book: Book): Knowledge {
  const entryOf = indexEntries(lanes);
  return {
    find(subject) {
      const entry = entryOf(subject);
      return entry?.scopes[subject.kind] ?? null;
    },
    *all() {
      const seen = new Set<Scope>();
      for (const entry of entriesOf(lanes)) {
        for (const scope of entry.all) {
          if (seen.has(scope)) continue;
          seen.add(scope);
          yield scope;
        }
      }
    },
    learn(scope, known) {
      if (isRelease(scope, known)) {
        for (const { key, set: lane } of scope.candidates) lane.features.release(key.project);
      }
      book.heardOf(Math.max(known.openedAt, known.found?.finding.foundAt ?? 0));
      const isNews = scope.learn(known, book.now());
      if (isNews) book.changed(scope);
      return isNews;
    },
    probeOver(scope) {
      if (scope.health.state !== 'tried_elsewhere') return;
      scope.takeBack(null);
      book.changed(scope);
    },
  };
}

/** Parked features are not shared; that the operator has released a key opens them everywhere. */
const isRelease = ({ subject, known: before }: Scope, { openedAt, found }: Known): boolean =>
  subject?.kind === 'operator' && found === null && openedAt > before.openedAt;

/** One entry that has the scope: only put together when somebody asks. */
function indexEntries(lanes: CandidateSets): (subject: Subject) => Candidate | null {
  let entries: Map<string, Candidate> | null = null;
  return ({ kind, provider, of, target }) => {
    entries ??= indexed(lanes);
    const whose = OF_KEY.has(kind) ? 'key' : 'project';
    return entries.get([whose, provider, of, target].join('\n')) ?? null;
  };
}

const OF_KEY: ReadonlySet<Subject['kind']> = new Set(['key', 'key_model', 'operator']);

function indexed(lanes: CandidateSets): Map<string, Candidate> {
  const entries = new Map<string, Candidate>();
  for (const entry of entriesOf(lanes)) {
    const { id, provider, project } = entry.key;
    for (const target of [entry.set.target.label, null]) {
      entries.set(['key', provider, id, target].join('\n'), entry);
      entries.set(['project', provider, project, target].join('\n'), entry);
    }
  }
  return entries;
}

function* entriesOf(lanes: CandidateSets): Generator<Candidate> {
  for (const { candidates } of lanes.values()) yield* candidates;
}
