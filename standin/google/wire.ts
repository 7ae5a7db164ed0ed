import { JSON_TYPE, type Reply, type Step } from '../reply.ts';
import type { AnswerEvent, WholeShape } from './answer.ts';
import { OVERLOADED } from './refusals.ts';

/** How an answer travels: whole, as server-sent events, or as one JSON array in pieces. */
export type Wire = 'unary' | 'sse' | 'array';

/** A fault that breaks an answer off after some chunks; a unary one inside its JSON. */
export interface BrokenAnswer {
  readonly kind: keyof typeof BREAKS;
  /** Chunks sent before. Default 1. */
  readonly after?: number;
}

export const isBroken = (fault: { readonly kind: string }): fault is BrokenAnswer =>
  fault.kind in BREAKS;

/** Puts events on the wire. */
export function answerReply(
  events: readonly AnswerEvent[],
  wire: Wire,
  shape: WholeShape,
  fault: { readonly kind: string } | null,
): Reply {
  const texts = events.map((event) => JSON.stringify(event));
  const head = { status: 200, headers: HEADERS[wire], delayMs: delayMs(wire, shape) };
  if (fault !== null && isBroken(fault)) return brokenReply(head, texts, wire, shape, fault);
  if (wire === 'unary') return { ...head, body: texts.at(-1) ?? '' };
  return { ...head, body: pacedSteps(PIECES[wire](texts), shape.chunkMs) };
}

const HEADERS = {
  unary: JSON_TYPE,
  sse: { 'content-type': 'text/event-stream' },
  array: JSON_TYPE,
} satisfies Record<Wire, Readonly<Record<string, string>>>;

/** What goes over the wire for each event; of a unary answer, the two halves of its JSON. */
const PIECES: Record<Wire, (events: readonly string[]) => string[]> = {
  unary: (events) => halves(events.at(-1) ?? ''),
  sse: (events) => events.map((event) => `data: ${event}\r\n\r\n`),
  array: (events) =>
    events.map((event, index) => {
      const isLast = index === events.length - 1;
      return `${index === 0 ? '[' : ',\r\n'}${event}${isLast ? ']' : ''}`;
    }),
};

const halves = (text: string) => {
  const middle = Math.floor(text.length / 2);
  return [text.slice(0, middle), text.slice(middle)];
};

/** A unary answer takes as long as its chunks would have taken. */
const delayMs = (wire: Wire, { firstChunkMs, chunkMs, chunks }: WholeShape) =>
  firstChunkMs + (wire === 'unary' ? chunkMs * Math.max(chunks - 1, 0) : 0);

/** Without pauses everything leaves in one write. */
function pacedSteps(pieces: readonly string[], chunkMs: number): Step[] {
  if (chunkMs <= 0 || pieces.length === 0) return [write(pieces.join(''))];
  return pieces.flatMap((piece, index) =>
    index === 0 ? [write(piece)] : [{ kind: 'wait', ms: chunkMs }, write(piece)],
  );
}

function brokenReply(
  head: Omit<Reply, 'body'>,
  texts: readonly string[],
  wire: Wire,
  shape: WholeShape,
  { kind, after = 1 }: BrokenAnswer,
): Reply {
  const ending = BREAKS[kind][wire];
  if (ending === null) return { ...OVERLOADED, delayMs: head.delayMs ?? 0 };
  const sent = pacedSteps(PIECES[wire](texts).slice(0, after), shape.chunkMs);
  return { ...head, body: [...sent, ending] };
}

const write = (text: string): Step => ({ kind: 'write', text });
const BARE_ERROR = write(String(OVERLOADED.body));
const SSE_ERROR = write(`data: ${OVERLOADED.body}\r\n\r\n`);
const LAST_OF_ARRAY = write(`,\r\n${OVERLOADED.body}]`);
const HANG: Step = { kind: 'hang' };
const CUT: Step = { kind: 'cut' };

/** What comes instead of the rest; null where a unary answer is an error instead. */
const BREAKS = {
  /** Sends nothing more. */
  hang_mid_stream: { unary: HANG, sse: HANG, array: HANG },
  /** Ends the connection. */
  cut_mid_stream: { unary: CUT, sse: CUT, array: CUT },
  /** A `data:` line with an error. */
  error_mid_stream: { unary: null, sse: SSE_ERROR, array: LAST_OF_ARRAY },
  /** The error as JSON, without `data:`. */
  bare_error_mid_stream: { unary: null, sse: BARE_ERROR, array: LAST_OF_ARRAY },
} satisfies Record<string, Record<Wire, Step | null>>;
