// @ts-check
import { showAvatar } from './avatar.js';
import { showBurst } from './burst.js';
import { showChat } from './chat.js';

showChat();
showBurst();
showAvatar(await isDemo());

async function isDemo() {
  try {
    const { mode } = await (await fetch('/health')).json();
    const place = document.querySelector('#mode');
    if (mode === 'demo' && place !== null) {
      place.textContent = 'Demo: the providers are stand-ins on this machine; no data leaves it.';
    }
    return mode === 'demo';
  } catch {
    return false;
  }
}
