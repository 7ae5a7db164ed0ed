// @ts-check
// A message of the AI SDK, and how the events of a stream build it (https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol).

/** @typedef {{ type: 'text' | 'reasoning', id?: string, text: string, providerMetadata?: object }} TextPart */
/** @typedef {{ type: 'file', mediaType: string, url: string, filename?: string, providerMetadata?: object }} FilePart */
/** @typedef {{ type: 'source-url', sourceId: string, url: string, title?: string }} SourcePart */
/**
 * @typedef {object} ToolPart
 * @property {`tool-${string}`} type
 * @property {string} toolCallId
 * @property {'input-streaming' | 'input-available' | 'approval-requested' | 'approval-responded' | 'output-available' | 'output-denied'} state
 * @property {string} inputText
 * @property {object} [input]
 * @property {unknown} [output]
 * @property {{ id: string, approved?: boolean }} [approval]
 * @property {object} [callProviderMetadata]
 */
/** @typedef {TextPart | FilePart | SourcePart | ToolPart | { type: 'step-start' }} Part */
/** @typedef {{ id: string, role: 'user' | 'assistant', parts: Part[] }} Message */

/** Of any kind: the fields that this file reads of it. */
/**
 * @typedef {object} StreamEvent
 * @property {string} type
 * @property {string} [id]
 * @property {string} [delta]
 * @property {object} [providerMetadata]
 * @property {string} [mediaType]
 * @property {string} [url]
 * @property {string} [sourceId]
 * @property {string} [title]
 * @property {string} [toolCallId]
 * @property {string} [toolName]
 * @property {string} [inputTextDelta]
 * @property {object} [input]
 * @property {string} [approvalId]
 * @property {string} [finishReason]
 * @property {{ model?: string, usage?: Usage }} [messageMetadata]
 */
/** @typedef {{ inputTokens: number, outputTokens: number, totalTokens: number, cachedInputTokens?: number, reasoningTokens?: number }} Usage */

/**
 * @param {Message} message
 * @param {StreamEvent} event
 */
export function apply({ parts }, event) {
  BUILDERS[event.type]?.(parts, event);
}

/** @type {Record<string, (parts: Part[], event: StreamEvent) => void>} */
const BUILDERS = {
  'start-step': (parts) => void parts.push({ type: 'step-start' }),
  'text-start': (parts, event) => void parts.push({ type: 'text', text: '', ...idOf(event) }),
  'text-delta': addText,
  'text-end': sign,
  'reasoning-start': (parts, event) =>
    void parts.push({ type: 'reasoning', text: '', ...idOf(event) }),
  'reasoning-delta': addText,
  'reasoning-end': sign,
  file: (parts, { type: _, ...file }) =>
    void parts.push(/** @type {FilePart} */ ({ type: 'file', ...file })),
  'source-url': (parts, { type: _, ...source }) =>
    void parts.push(/** @type {SourcePart} */ ({ type: 'source-url', ...source })),
  'tool-input-start'(parts, { toolName = '', toolCallId = '', providerMetadata }) {
    /** @type {ToolPart} */
    const part = {
      type: `tool-${toolName}`,
      toolCallId,
      state: 'input-streaming',
      inputText: '',
      ...(providerMetadata === undefined ? {} : { callProviderMetadata: providerMetadata }),
    };
    parts.push(part);
  },
  'tool-input-delta'(parts, event) {
    const part = toolOf(parts, event);
    if (part !== undefined) part.inputText += event.inputTextDelta;
  },
  'tool-input-available'(parts, event) {
    const { input = {}, providerMetadata } = event;
    const metadata =
      providerMetadata === undefined ? {} : { callProviderMetadata: providerMetadata };
    changeTool(parts, event, { state: 'input-available', input, ...metadata });
  },
  'tool-approval-request'(parts, event) {
    const input = JSON.parse(toolOf(parts, event)?.inputText || '{}');
    const approval = { id: event.approvalId ?? '' };
    changeTool(parts, event, { state: 'approval-requested', input, approval });
  },
  'tool-output-denied': (parts, event) => changeTool(parts, event, { state: 'output-denied' }),
};

/** @param {StreamEvent} event */
const idOf = ({ id = '' }) => ({ id });

/**
 * Each request counts its blocks from one, so the last part of an id is meant.
 *
 * @param {readonly Part[]} parts
 * @param {StreamEvent} event
 */
const blockOf = (parts, { id }) =>
  /** @type {TextPart | undefined} */ (parts.findLast((part) => 'id' in part && part.id === id));

/**
 * @param {Part[]} parts
 * @param {StreamEvent} event
 */
function addText(parts, event) {
  const part = blockOf(parts, event);
  if (part !== undefined) part.text += event.delta;
}

/**
 * @param {Part[]} parts
 * @param {StreamEvent} event
 */
function sign(parts, event) {
  const part = blockOf(parts, event);
  if (part !== undefined && event.providerMetadata !== undefined) {
    part.providerMetadata = event.providerMetadata;
  }
}

/**
 * @param {readonly Part[]} parts
 * @param {StreamEvent} event
 */
const toolOf = (parts, { toolCallId }) =>
  parts.filter(isTool).find((part) => part.toolCallId === toolCallId);

/**
 * @param {Part[]} parts
 * @param {StreamEvent} event
 * @param {Partial<ToolPart>} change
 */
function changeTool(parts, event, change) {
  const part = toolOf(parts, event);
  if (part !== undefined) Object.assign(part, change);
}

/**
 * @param {Part} part
 * @returns {part is ToolPart}
 */
export const isTool = (part) => part.type.startsWith('tool-');

/**
 * What the person has to decide or provide before the model can go on.
 *
 * @param {Message} message
 */
export const openCalls = ({ parts }) =>
  parts
    .filter(isTool)
    .filter(({ state }) => state === 'input-available' || state === 'approval-requested');

/**
 * Text of an answer, for screen readers.
 *
 * @param {Message} message
 */
export const textIn = ({ parts }) =>
  parts.map((part) => (part.type === 'text' ? /** @type {TextPart} */ (part).text : '')).join('');
