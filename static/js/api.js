/* Tries operations of the API from their reference. The token stays in its field. */
(() => {
  'use strict';
  const token = document.querySelector('[data-api-token]');
  document.addEventListener('submit', async event => {
    const form = event.target.closest('form[data-api]');
    if (!form) return;
    event.preventDefault();
    const fields = [...form.querySelectorAll('[data-in]')];
    const headers = { authorization: `Bearer ${token.value.trim()}` };
    const query = new URLSearchParams();
    let path = form.dataset.path, body;
    for (const field of fields) {
      const value = field.value.trim();
      if (field.dataset.in === 'path') path = path.replace(`{${field.name}}`, encodeURIComponent(value));
      else if (value === '') continue;
      else if (field.dataset.in === 'query') query.set(field.name, value);
      else if (field.dataset.in === 'header') headers[field.name] = value;
      else { body = value; headers['content-type'] = 'application/json'; }
    }
    const address = query.size ? `${path}?${query}` : path;
    const shown = form.parentElement.querySelector('[data-api-answer]');
    const says = shown.querySelector('[data-api-status]'), content = shown.querySelector('[data-api-body]');
    shown.hidden = false;
    says.textContent = '…';
    content.textContent = '';
    try {
      const answer = await fetch(address, { method: form.dataset.api, headers, body, credentials: 'omit' });
      const text = await answer.text();
      says.textContent = `${answer.status} ${answer.statusText}`;
      let pretty = text;
      try { pretty = JSON.stringify(JSON.parse(text), null, 2); } catch { /* NDJSON, or nothing */ }
      content.textContent = pretty.slice(0, 100000) || '(empty)';
    } catch (error) {
      says.textContent = `No answer: ${error.message}`;
    }
  });
})();
