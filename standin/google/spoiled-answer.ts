import type { CallFault } from '../key-ring.ts';
import type { BlockedAnswer, BrokenStream, EmptyAnswerKind } from './fault.ts';

const BROKEN: ReadonlySet<string> = new Set([
  'hang_mid_stream',
  'cut_mid_stream',
  'error_mid_stream',
  'bare_error_mid_stream',
] satisfies BrokenStream['kind'][]);

const TEXTLESS: ReadonlySet<string> = new Set([
  'blocked_answer',
  'blocked_prompt',
  'no_candidates',
  'tokens_spent',
] satisfies (BlockedAnswer['kind'] | EmptyAnswerKind)[]);

/** Whether a fault spoils the answer to a call that was accepted, and counted as one. */
export const spoilsAnswer = ({ kind }: CallFault): boolean =>
  BROKEN.has(kind) || TEXTLESS.has(kind);

export const isBroken = (fault: CallFault | null): fault is BrokenStream =>
  fault !== null && BROKEN.has(fault.kind);
