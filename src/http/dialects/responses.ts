import { randomUUID } from 'node:crypto';
import { modelThatAnswered } from '../../services/chat.ts';
import type { ChatChunk, ChatFinish, FinishReason, Source, ToolCall } from '../../shared/chat.ts';
import type { Usage } from '../../shared/failure.ts';
import {
  type AnswerFacts,
  COMMENT,
  type Dialect,
  EVENT_STREAM,
  type Frames,
  toNamedEvent,
} from './dialect.ts';
import { contentOf, isImage, OPENAI_ERRORS, toOpenaiError } from './openai.ts';
import { type ResponseForm, readResponseRequest } from './responses-request.ts';

/**
 * The dialect of OpenAI's responses (https://platform.openai.com/docs/api-reference/responses). Nothing is stored: each
 * request carries its whole conversation.
 */
export const responses: Dialect = {
  errors: OPENAI_ERRORS,
  read({ body }) {
    const { request, form } = readResponseRequest(body);
    return {
      request,
      answer: form.isStreamed
        ? { kind: 'stream', frames: (facts) => toEvents(facts, form) }
        : {
            kind: 'whole',
            body({ chunks, answeredBy, ...finish }, facts) {
              const output = new Output(form);
              for (const chunk of chunks) output.add(chunk);
              output.close();
              return toResponse(modelThatAnswered(answeredBy), facts, form, {
                output: output.items,
                ...finish,
              });
            },
          },
    };
  },
};

function toEvents(facts: AnswerFacts, form: ResponseForm): Frames {
  const output = new Output(form);
  let model = '';
  let written = 0;
  const write = ({ type, ...event }: OutputEvent) => {
    const number = written;
    written += 1;
    return toNamedEvent(type, { type, sequence_number: number, ...event });
  };
  const writeAll = (events: readonly OutputEvent[]) => events.map(write).join('');
  return {
    headers: EVENT_STREAM,
    begin(answering) {
      model = answering;
      const response = toResponse(model, facts, form, null);
      return (
        write({ type: 'response.created', response }) +
        write({ type: 'response.in_progress', response })
      );
    },
    piece: (chunk) => writeAll(output.add(chunk)),
    end(finish) {
      const closing = writeAll(output.close());
      const response = toResponse(model, facts, form, { output: output.items, ...finish });
      return closing + write({ type: `response.${response.status}`, response });
    },
    fail(error) {
      const refusal = toOpenaiError(error);
      const { code, message } = refusal.error;
      const response = {
        ...toResponse(model, facts, form, null),
        status: 'failed',
        error: { code, message },
      };
      // Codex reads the first event. The official clients throw at the second.
      return write({ type: 'response.failed', response }) + write({ type: 'error', ...refusal });
    },
    keepAlive: COMMENT,
  };
}

interface Finished extends ChatFinish {
  readonly output: readonly object[];
}

/** @param finished null until the answer is complete */
function toResponse(
  model: string,
  { requestId, now }: AnswerFacts,
  { repeated }: ResponseForm,
  finished: Finished | null,
) {
  return {
    id: `resp_${requestId}`,
    object: 'response',
    created_at: Math.floor(now / 1000),
    background: false,
    error: null,
    ...repeated,
    model,
    previous_response_id: null,
    store: false,
    ...(finished === null ? UNDER_WAY : toEnd(finished)),
  };
}

const UNDER_WAY = { status: 'in_progress', incomplete_details: null, output: [], usage: null };

function toEnd({ reason, output, usage }: Finished) {
  const incomplete = INCOMPLETE[reason];
  return {
    status: incomplete === null ? 'completed' : 'incomplete',
    incomplete_details: incomplete === null ? null : { reason: incomplete },
    output,
    usage: toUsage(usage),
  };
}

/** Null for a complete response. */
const INCOMPLETE: Record<FinishReason, 'max_output_tokens' | 'content_filter' | null> = {
  stop: null,
  length: 'max_output_tokens',
  'tool-calls': null,
  'content-filter': 'content_filter',
  // OpenAI has no such reason; a completed response would hide that something is missing.
  other: 'content_filter',
};

const toUsage = (usage: Usage) => ({
  input_tokens: usage.inputTokens,
  input_tokens_details: { cached_tokens: usage.cachedTokens },
  output_tokens: usage.outputTokens,
  output_tokens_details: { reasoning_tokens: usage.thoughtTokens },
  total_tokens: usage.totalTokens,
});

interface OutputEvent {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** A text or a thought that is not complete yet. */
interface OpenItem {
  readonly kind: 'message' | 'reasoning';
  readonly id: string;
  text: string;
  readonly sources: Source[];
}

/** Builds the items of an answer from its chunks, and the events that announce them. */
class Output {
  readonly items: object[] = [];
  readonly #form: ResponseForm;
  #open: OpenItem | null = null;
  #calls = 0;

  constructor(form: ResponseForm) {
    this.#form = form;
  }

  add(chunk: ChatChunk): OutputEvent[] {
    const { reasoning, media, toolCalls = [], sources = [] } = chunk;
    const text = contentOf(chunk);
    return [
      ...(reasoning === undefined ? [] : this.#say('reasoning', reasoning)),
      ...(text === '' ? [] : this.#say('message', text)),
      ...sources.flatMap((source) => this.#cite(source)),
      ...(media !== undefined && isImage(media) ? this.#addItem(toImage(media.data)) : []),
      ...toolCalls.flatMap((call) => this.#call(call)),
    ];
  }

  /** Ends the open item. */
  close(): OutputEvent[] {
    const open = this.#open;
    if (open === null) return [];
    this.#open = null;
    const { text } = open;
    const place = { ...this.#placeOf(open), ...partOf(open) };
    const item = toItem(open, 'completed');
    this.items.push(item);
    const [words, part] = NAMES[open.kind];
    return [
      { type: `${words}.done`, ...place, text, ...logprobsOf(open) },
      { type: `${part}.done`, ...place, part: toPart(open) },
      { type: 'response.output_item.done', output_index: place.output_index, item },
    ];
  }

  #say(kind: OpenItem['kind'], words: string): OutputEvent[] {
    const events = this.#open?.kind === kind ? [] : [...this.close(), ...this.#begin(kind)];
    const open = this.#open;
    if (open === null) return events;
    open.text += words;
    const [name] = NAMES[kind];
    const place = { ...this.#placeOf(open), ...partOf(open) };
    return [...events, { type: `${name}.delta`, ...place, delta: words, ...logprobsOf(open) }];
  }

  #begin(kind: OpenItem['kind']): OutputEvent[] {
    const open: OpenItem = {
      kind,
      id: newId(kind === 'message' ? 'msg' : 'rs'),
      text: '',
      sources: [],
    };
    this.#open = open;
    const [, part] = NAMES[kind];
    const place = this.#placeOf(open);
    const item = {
      ...toItem(open, 'in_progress'),
      ...(kind === 'message' ? { content: [] } : { summary: [] }),
    };
    return [
      { type: 'response.output_item.added', output_index: place.output_index, item },
      { type: `${part}.added`, ...place, ...partOf(open), part: toPart(open) },
    ];
  }

  /** A source belongs to the text before it. */
  #cite(source: Source): OutputEvent[] {
    const open = this.#open;
    if (open?.kind !== 'message') return [];
    const annotation_index = open.sources.push(source) - 1;
    const annotation = toCitation(source, open.text);
    const place = { ...this.#placeOf(open), ...partOf(open) };
    return [
      { type: 'response.output_text.annotation.added', ...place, annotation_index, annotation },
    ];
  }

  #call({ name, input, signature }: ToolCall): OutputEvent[] {
    if (this.#form.isOneCallAtATime && this.#calls > 0) return [];
    this.#calls += 1;
    const signed = signature !== undefined && this.#form.hasSignatures;
    const before = signed
      ? this.#addItem({
          id: newId('rs'),
          type: 'reasoning',
          summary: [],
          encrypted_content: signature,
        })
      : this.close();
    const written = JSON.stringify(input);
    const named = this.#form.namespaced.get(name) ?? { name };
    const item = { id: newId('fc'), type: 'function_call', call_id: newId('call'), ...named };
    const place = { item_id: item.id, output_index: this.items.length };
    const completed = { ...item, status: 'completed', arguments: written };
    const [, done] = this.#addItem(completed);
    return [
      ...before,
      {
        type: 'response.output_item.added',
        output_index: place.output_index,
        item: { ...item, status: 'in_progress', arguments: '' },
      },
      { type: 'response.function_call_arguments.delta', ...place, delta: written },
      { type: 'response.function_call_arguments.done', ...place, ...named, arguments: written },
      ...(done === undefined ? [] : [done]),
    ];
  }

  /** Adds an item that is complete at once. */
  #addItem(item: object): OutputEvent[] {
    const closing = this.close();
    const output_index = this.items.push(item) - 1;
    return [
      ...closing,
      { type: 'response.output_item.added', output_index, item },
      { type: 'response.output_item.done', output_index, item },
    ];
  }

  #placeOf({ id }: OpenItem) {
    return { item_id: id, output_index: this.items.length };
  }
}

/** The prefixes of event names: for the text, and for the part that holds it. */
const NAMES = {
  message: ['response.output_text', 'response.content_part'],
  reasoning: ['response.reasoning_summary_text', 'response.reasoning_summary_part'],
} as const satisfies Record<OpenItem['kind'], readonly [string, string]>;

const partOf = ({ kind }: OpenItem) =>
  kind === 'message' ? { content_index: 0 } : { summary_index: 0 };

const logprobsOf = ({ kind }: OpenItem) => (kind === 'message' ? { logprobs: [] } : {});

const toPart = ({ kind, text, sources }: OpenItem) =>
  kind === 'message'
    ? {
        type: 'output_text',
        text,
        annotations: sources.map((source) => toCitation(source, text)),
        logprobs: [],
      }
    : { type: 'summary_text', text };

const toItem = (open: OpenItem, status: 'in_progress' | 'completed') =>
  open.kind === 'message'
    ? { id: open.id, type: 'message', status, role: 'assistant', content: [toPart(open)] }
    : { id: open.id, type: 'reasoning', summary: [toPart(open)] };

/** Gemini's chunks do not say which words a source supports. */
const toCitation = ({ url, title = url }: Source, text: string) => ({
  type: 'url_citation',
  start_index: 0,
  end_index: text.length,
  url,
  title,
});

const toImage = (result: string) => ({
  id: newId('ig'),
  type: 'image_generation_call',
  status: 'completed',
  result,
});

/** Less than 40 characters: other providers refuse longer ids when a client continues its conversation there. */
const newId = (kind: string) => `${kind}_${randomUUID().replaceAll('-', '')}`;
