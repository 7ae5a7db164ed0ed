'use client';
import dynamic from 'next/dynamic';

// The conversation is kept in the browser, so that only the browser can show it.
const Chat = dynamic(() => import('./chat').then(({ Chat }) => Chat), { ssr: false });

export default function Page() {
  return (
    <main>
      <h1>Chat</h1>
      <Chat />
    </main>
  );
}
