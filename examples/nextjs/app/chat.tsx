'use client';
import { useChat } from '@ai-sdk/react';
import { DefaultChatTransport, lastAssistantMessageIsCompleteWithToolCalls } from 'ai';
import { type FormEvent, useEffect, useState } from 'react';
import { retrySentence, understudyFetch } from '../../understudy-client';
import { Answer } from './answer';
import { keepChat, keptChat } from './kept-chat';
import { localTime } from './local-time';
import type { Message } from './message';

/** Set it if the server has CHAT_RESUME=true. A reload then resumes the running answer. */
const resume = process.env.NEXT_PUBLIC_CHAT_RESUME === 'true';

const transport = new DefaultChatTransport<Message>({ fetch: understudyFetch });

export function Chat() {
  const [kept] = useState(keptChat);
  const chat = useChat<Message>({
    ...kept,
    transport,
    resume,
    // What a tool of this page returns goes to the model at once.
    sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithToolCalls,
    onToolCall({ toolCall }) {
      if (toolCall.dynamic || toolCall.toolName !== 'local_time') return;
      const { toolCallId, toolName: tool, input } = toolCall;
      // No await: the answer goes on only when this function has returned.
      try {
        chat.addToolOutput({ tool, toolCallId, output: localTime(input) });
      } catch (error) {
        chat.addToolOutput({ tool, toolCallId, state: 'output-error', errorText: String(error) });
      }
    },
  });
  const { id, messages, status, error } = chat;
  const isBusy = status === 'submitted' || status === 'streaming';

  useEffect(() => {
    // A partial answer is not kept: a resumed stream begins with the first word.
    if (status === 'streaming' || status === 'error') return;
    keepChat({ id, messages: messages.filter(({ parts }) => parts.length > 0) });
  }, [id, messages, status]);

  function send(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = event.currentTarget;
    const text = String(new FormData(form).get('text')).trim();
    if (text === '' || isBusy) return;
    form.reset();
    chat.sendMessage({ text });
  }

  function stop() {
    chat.stop();
    // With resume, a closed connection may be a reload, so the server needs this request to stop.
    if (resume) fetch(`/api/chat/${id}/stream`, { method: 'DELETE' });
  }

  return (
    <>
      <section aria-label="Conversation" aria-live="polite">
        {messages.map((message) => (
          <Answer
            key={message.id}
            message={message}
            isRunning={isBusy && message === messages.at(-1)}
          />
        ))}
        {status === 'submitted' && <p className="quiet">Waiting for the answer…</p>}
      </section>
      {error && (
        <p role="alert">
          <span>
            {error.message} {retrySentence(error)}
          </span>{' '}
          <button type="button" onClick={() => chat.regenerate()}>
            Try again
          </button>
        </p>
      )}
      <form className="row" onSubmit={send}>
        <input name="text" aria-label="Message" placeholder="Ask something" autoComplete="off" />
        {isBusy ? (
          <button type="button" onClick={stop}>
            Stop
          </button>
        ) : (
          <button type="submit">Send</button>
        )}
      </form>
    </>
  );
}
