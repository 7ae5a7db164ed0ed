import type { AnswerShape } from './standin-key.ts';

/** A shape whose every number is decided. */
export type WholeShape = Required<Omit<AnswerShape, Said>> & Pick<AnswerShape, Said>;

type Said = 'text' | 'functionCalls';

/** @returns what each shape leaves open, taken from the one before it, at last the defaults. */
export const wholeShape = (...shapes: readonly (AnswerShape | undefined)[]): WholeShape =>
  Object.assign({ chunks: 3, firstChunkMs: 0, chunkMs: 0 }, ...shapes);

/** The answer's text cut into its chunks: as many as the shape says, at least one, none empty. */
export function answerTexts(shape: WholeShape, said: string): string[] {
  const count = Math.max(shape.chunks, 1);
  const text = (shape.text ?? `You said: ${said}`).padEnd(count, '.');
  if (count === 1) return [text];
  const cuts = Array.from({ length: count + 1 }, (_, index) =>
    betweenCharacters(text, Math.floor((index * text.length) / count)),
  );
  return cuts.slice(1).map((end, index) => text.slice(cuts[index], end));
}

/** Never between the two halves of a surrogate pair. */
const betweenCharacters = (text: string, index: number) => {
  const unit = text.charCodeAt(index);
  return unit >= 0xdc00 && unit <= 0xdfff ? index + 1 : index;
};
