import type { Message } from './message';

interface AnswerProps {
  message: Message;
  /** Whether more of it may come. */
  isRunning: boolean;
}

/** One message: its words, the model's thoughts, the tools that were used, and what it has cost. */
export function Answer({ message: { role, parts, metadata }, isRunning }: AnswerProps) {
  return (
    <article className={role} aria-label={role === 'user' ? 'You' : 'Answer'}>
      {parts.map((part, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: parts have no id, and only the last one changes
        <Part key={index} part={part} isRunning={isRunning} />
      ))}
      {metadata?.usage && (
        <p className="quiet">
          {metadata.model} · {metadata.usage.totalTokens} tokens
        </p>
      )}
    </article>
  );
}

function Part({ part, isRunning }: { part: Message['parts'][number]; isRunning: boolean }) {
  switch (part.type) {
    case 'text':
      return <p className="words">{part.text}</p>;
    case 'reasoning':
      // A thought that was stopped stays in the state `streaming`.
      return (
        <details>
          <summary>{isRunning && part.state === 'streaming' ? 'Thinking…' : 'Thoughts'}</summary>
          <p className="words">{part.text}</p>
        </details>
      );
    case 'tool-local_time':
      return <p className="quiet">{clockSentence(part)}</p>;
    default:
      return null;
  }
}

function clockSentence(part: Extract<Message['parts'][number], { type: 'tool-local_time' }>) {
  if (part.state === 'output-available') {
    return `Looked at the clock: ${part.output.time} (${part.output.timeZone}).`;
  }
  if (part.state === 'output-error') return `The clock could not be read: ${part.errorText}`;
  return 'Looking at the clock…';
}
