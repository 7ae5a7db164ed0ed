/** One event of a stream, its data parsed where it is JSON. */
export interface StreamEvent {
  readonly event: string;
  // biome-ignore lint/suspicious/noExplicitAny: a test looks for what it expects and fails where it is not
  readonly data: any;
}

/** The events in a text that was streamed; comments are left out. */
export const eventsIn = (text: string): StreamEvent[] =>
  text
    .split('\n\n')
    .map((block) => block.split('\n').filter((line) => !line.startsWith(':') && line !== ''))
    .filter((lines) => lines.length > 0)
    .map((lines) => ({ event: fieldOf(lines, 'event') ?? 'message', data: dataOf(lines) }));

const fieldOf = (lines: readonly string[], name: string) =>
  lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);

function dataOf(lines: readonly string[]): unknown {
  const text = fieldOf(lines, 'data') ?? '';
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
