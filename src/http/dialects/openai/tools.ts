import { z } from 'zod';
import type { ToolChoice, Tools } from '../../../shared/chat.ts';
import { invalidField } from '../../json-body.ts';
import { jsonObject } from '../../json-object.ts';
import { listOf } from '../../list-of.ts';

const MAX_TOOLS = 128;
const named = z.looseObject({ name: z.string().min(1).max(64) });

const tool = z.looseObject({
  type: z.literal('function', 'Only functions are supported.'),
  function: named.extend({
    description: z.string().nullish(),
    parameters: jsonObject.nullish(),
  }),
});

export const tools = listOf(tool, MAX_TOOLS);

const mode = z.enum(['none', 'auto', 'required'], 'Must be none, auto, required or function.');

export const toolChoice = z.union(
  [
    mode,
    z.looseObject({ type: z.literal('function'), function: named }),
    z.looseObject({ type: mode }).transform(({ type }) => type),
  ],
  'Must be none, auto, required or a function.',
);

/** @returns null when there are no tools */
export function toTools(
  declared: z.output<typeof tools>,
  choice: z.output<typeof toolChoice> | null,
): Tools | null {
  if (declared.length === 0) {
    if (choice !== null && choice !== 'none' && choice !== 'auto') throw noSuchTool();
    return null;
  }
  const declarations = declared.map(({ function: { name, description, parameters } }) => ({
    name,
    ...(isGiven(description) ? { description } : {}),
    ...(isGiven(parameters) ? { parameters } : {}),
  }));
  const chosen = toChoice(choice);
  const isKnown = chosen.kind !== 'one' || declarations.some(({ name }) => name === chosen.name);
  if (!isKnown) throw noSuchTool();
  return { declarations, choice: chosen };
}

export const isGiven = <T>(value: T): value is NonNullable<T> =>
  value !== undefined && value !== null;

function toChoice(choice: z.output<typeof toolChoice> | null): ToolChoice {
  if (choice === null) return { kind: 'auto' };
  if (typeof choice !== 'string') return { kind: 'one', name: choice.function.name };
  return { kind: choice === 'required' ? 'any' : choice };
}

const noSuchTool = () => invalidField('tool_choice', 'There is no such tool.');
