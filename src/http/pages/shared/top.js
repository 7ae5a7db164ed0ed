// @ts-check
/** Wires the button that ends the login, where the page has one. */
document.querySelector('#log-out')?.addEventListener('click', async () => {
  await fetch('/api/logout', { method: 'POST' }).catch(() => undefined);
  location.assign('/login');
});
