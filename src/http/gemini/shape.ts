import { type RequestShape, shapeOf } from '../../shared/request-shape.ts';
import { asList, asObject, parse } from './resources.ts';

/** Fields of a plain request: text, how it is generated, and functions of the caller's own. */
const PLAIN_FIELDS: ReadonlySet<string> = new Set([
  'contents',
  'generationconfig',
  'model',
  'safetysettings',
  'systeminstruction',
  'toolconfig',
  'tools',
]);
const PLAIN_GENERATION: ReadonlySet<string> = new Set([
  'candidatecount',
  'frequencypenalty',
  'maxoutputtokens',
  'presencepenalty',
  'responsemimetype',
  'seed',
  'stopsequences',
  'temperature',
  'thinkingconfig',
  'topk',
  'topp',
]);
const PLAIN_PARTS: ReadonlySet<string> = new Set([
  'functioncall',
  'functionresponse',
  'text',
  'thought',
  'thoughtsignature',
]);
/** What is metered or refused apart; a field that is none of these is special under the name `other`. */
const FEATURES: ReadonlyMap<string, string> = new Map([
  ['codeexecution', 'code_execution'],
  ['filedata', 'media'],
  ['googlemaps', 'maps'],
  ['googlesearch', 'search'],
  ['googlesearchretrieval', 'search'],
  ['inlinedata', 'media'],
  ['responsejsonschema', 'schema'],
  ['responseschema', 'schema'],
  ['urlcontext', 'url_context'],
]);
const PLAIN_TOOLS: ReadonlySet<string> = new Set(['functiondeclarations']);

/** What is special about a request in Gemini's protocol. */
export function shapeIn(body: Buffer): RequestShape {
  const whole = asObject(parse(body));
  const counted = asObject(whole.generateContentRequest ?? whole.generate_content_request);
  const { generateContentRequest: _, generate_content_request: __, ...outer } = whole;
  return shapeOf([...specialIn(outer), ...specialIn(counted)], body.length);
}

const specialIn = (request: Readonly<Record<string, unknown>>): readonly string[] => [
  ...beyond(PLAIN_FIELDS, request),
  ...Object.entries(request).flatMap(([name, value]) => READERS.get(plain(name))?.(value) ?? []),
];

const READERS: ReadonlyMap<string, (value: unknown) => readonly string[]> = new Map([
  ['contents', (contents) => asList(contents).flatMap(specialParts)],
  ['generationconfig', (config) => beyond(PLAIN_GENERATION, config)],
  ['systeminstruction', specialParts],
  ['tools', (tools) => asList(tools).flatMap((tool) => beyond(PLAIN_TOOLS, tool))],
]);

function specialParts(content: unknown): readonly string[] {
  return asList(asObject(content).parts).flatMap((part) => beyond(PLAIN_PARTS, part));
}

const beyond = (known: ReadonlySet<string>, value: unknown): readonly string[] =>
  Object.keys(asObject(value))
    .map(plain)
    .filter((name) => !known.has(name))
    .map((name) => FEATURES.get(name) ?? 'other');

/** Google reads a name in camel case and in snake case alike. */
const plain = (name: string) => name.replaceAll('_', '').toLowerCase();
