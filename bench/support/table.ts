/** Prints rows as a Markdown table. */
export function printTable(head: readonly string[], rows: readonly (readonly string[])[]): void {
  const lines = [head, head.map(() => '---'), ...rows];
  for (const cells of lines) console.log(`| ${cells.join(' | ')} |`);
  console.log();
}
