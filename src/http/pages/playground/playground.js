// @ts-check
import { home, isLoggedIn } from '/playground/frame.js';
import { showAvatar } from './avatar.js';
import { showBurst } from './burst.js';
import { followNewest, showChat } from './chat.js';

showChat();
followNewest();
showBurst();
const isDemo = (await home)?.mode === 'demo';
showAvatar(isDemo);
const where = document.querySelector('#where');
if (isDemo && where !== null) {
  where.textContent = 'Demo: the providers are stand-ins on this machine; no data leaves it.';
}
if (!(await isLoggedIn)) document.querySelector('#log-in-hint')?.removeAttribute('hidden');
