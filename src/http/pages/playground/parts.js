// @ts-check
import { html, nothing } from '/playground/lib/lit-html/lit-html.js';
import { isTool } from './message.js';

/** @import { FilePart, Message, Part, SourcePart, TextPart, ToolPart } from './message.js' */
/**
 * What a person does about a call of a tool.
 *
 * @typedef {object} ToolActions
 * @property {(part: ToolPart, isApproved: boolean) => void} decide
 * @property {(part: ToolPart, output: unknown) => void} provide
 */

/**
 * Where the parts stand in the conversation.
 *
 * @typedef {object} Stage
 * @property {boolean} isComplete whether nothing more of them will come
 * @property {boolean} isPast whether a later message was sent
 * @property {ToolActions | null} actions null while a tool cannot be answered
 */

/**
 * @param {Message['role']} role
 * @param {readonly Part[]} parts
 * @param {Stage} stage
 */
export function partsView(role, parts, stage) {
  const who = role === 'user' ? 'You: ' : 'Answer: ';
  const look = role === 'user' ? 'mine' : 'theirs';
  const sources = parts.filter((part) => part.type === 'source-url');
  return html`
    ${parts.map((part) => partView(part, who, look, stage))}
    ${sources.length === 0 ? nothing : sourcesView(/** @type {SourcePart[]} */ (sources))}
  `;
}

/**
 * @param {Part} part
 * @param {string} who
 * @param {string} look
 * @param {Stage} stage
 */
function partView(part, who, look, stage) {
  if (isTool(part)) return html`<li class="tool">${toolView(part, stage)}</li>`;
  switch (part.type) {
    case 'text':
      return textView(/** @type {TextPart} */ (part), who, look);
    case 'reasoning':
      return html`<li class="thoughts"><details ?open=${!stage.isComplete}><summary>Reasoning</summary><p>${/** @type {TextPart} */ (part).text}</p></details></li>`;
    case 'file':
      return html`<li class="${look} file">${fileView(/** @type {FilePart} */ (part), role(who))}</li>`;
    default:
      return nothing;
  }
}

/** @param {string} who */
const role = (who) => (who === 'You: ' ? 'Attached' : 'Generated');

/**
 * @param {TextPart} part
 * @param {string} who
 * @param {string} look
 */
const textView = ({ text }, who, look) =>
  text === ''
    ? nothing
    : html`<li class=${look}><span class="only-heard">${who}</span>${text}</li>`;

/**
 * @param {FilePart} file
 * @param {string} how
 */
export const fileView = ({ mediaType, url, filename }, how) =>
  mediaType.startsWith('image/') && url.startsWith('data:image/')
    ? html`<img src=${url} alt="${how} image${filename === undefined ? '' : `: ${filename}`}" />`
    : html`<span class="mono">${filename ?? mediaType}</span>`;

/** @param {readonly SourcePart[]} sources */
const sourcesView = (sources) => html`<li class="sources small">
  <span class="quiet">Sources:</span>
  ${sources.map(({ url, title }) => (HTTP.test(url) ? html`<a href=${url} target="_blank" rel="noreferrer">${title ?? url}</a>` : html`<span>${title ?? url}</span>`))}
</li>`;

const HTTP = /^https?:\/\//i;

/**
 * @param {ToolPart} part
 * @param {Stage} stage
 */
const toolView = (part, { isPast, actions }) => html`
  <p><span class="quiet">Tool</span> <strong class="mono">${part.type.slice('tool-'.length)}</strong> ${stateView(part, isPast)}</p>
  <pre class="small" tabindex="0" aria-label="Input">${part.input === undefined ? part.inputText : toText(part.input)}</pre>
  ${part.output === undefined ? nothing : html`<p class="small quiet">Result</p><pre class="small" tabindex="0" aria-label="Result">${toText(part.output)}</pre>`}
  ${actions === null ? nothing : toolForm(part, actions)}
`;

/**
 * @param {ToolPart} part
 * @param {boolean} isPast
 */
function stateView({ state }, isPast) {
  const missed = isPast ? MISSED[state] : undefined;
  const { word, look } = missed === undefined ? STATES[state] : { word: missed, look: 'quiet' };
  return html`<span class="small ${look}">${word}</span>`;
}

/** The words for a tool that was not answered before the next message. @type {Partial<Record<ToolPart['state'], string>>} */
const MISSED = {
  'input-streaming': 'was interrupted',
  'input-available': 'got no result',
  'approval-requested': 'was not decided',
};

/** @type {Record<ToolPart['state'], { word: string, look: string }>} */
const STATES = {
  'input-streaming': { word: 'is being called', look: 'quiet' },
  'input-available': { word: 'waits for its result', look: 'wait' },
  'approval-requested': { word: 'needs your approval', look: 'wait' },
  'approval-responded': { word: 'decided', look: 'quiet' },
  'output-available': { word: 'done', look: 'good' },
  'output-denied': { word: 'denied', look: 'bad-text' },
};

/** @param {unknown} value */
const toText = (value) => (typeof value === 'string' ? value : JSON.stringify(value, null, 2));

/**
 * @param {ToolPart} part
 * @param {ToolActions} actions
 */
function toolForm(part, { decide, provide }) {
  if (part.state === 'approval-requested') {
    return html`<div class="row">
      <button type="button" class="main" @click=${() => decide(part, true)}>Approve</button>
      <button type="button" @click=${() => decide(part, false)}>Deny</button>
    </div>`;
  }
  if (part.state !== 'input-available') return nothing;
  return html`<form class="provide" @submit=${(/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const data = new FormData(/** @type {HTMLFormElement} */ (event.target));
    provide(part, fromText(String(data.get('output'))));
  }}>
    <label>Result <span class="quiet small">Tools run in your own page. Write what yours would return: JSON or text.</span>
      <textarea name="output" rows="2" required></textarea>
    </label>
    <button type="submit">Send the result</button>
  </form>`;
}

/** @param {string} text */
function fromText(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
