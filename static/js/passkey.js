/* Passkeys over plain forms: a form carries the question, the authenticator's answer goes into its fields. */
(() => {
  'use strict';
  document.documentElement.classList.add('has-script');
  const bytes = text => Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), c => c.charCodeAt(0));
  const text = buffer => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
  const known = form => (form.dataset.known || '').split(' ').filter(Boolean).map(id => ({ type: 'public-key', id: bytes(id) }));
  const say = (form, words) => { form.querySelector('[data-passkey-says]').textContent = words; };
  const put = (form, name, buffer) => { form.elements[name].value = buffer ? text(buffer) : ''; };

  const ceremonies = {
    async answer(form) {
      const found = await navigator.credentials.get({
        publicKey: { challenge: bytes(form.dataset.challenge), rpId: form.dataset.party, allowCredentials: known(form), userVerification: 'required', timeout: 300000 },
      });
      form.elements.id.value = text(found.rawId);
      put(form, 'clientDataJSON', found.response.clientDataJSON);
      put(form, 'authenticatorData', found.response.authenticatorData);
      put(form, 'signature', found.response.signature);
      put(form, 'userHandle', found.response.userHandle);
    },
    async make(form) {
      const { challenge, party, user, email } = form.dataset;
      const made = await navigator.credentials.create({
        publicKey: {
          challenge: bytes(challenge), rp: { id: party, name: 'Tenantry' },
          user: { id: bytes(user), name: email, displayName: email },
          pubKeyCredParams: [-7, -8, -257].map(alg => ({ type: 'public-key', alg })),
          excludeCredentials: known(form), attestation: 'none', timeout: 300000,
          authenticatorSelection: { residentKey: 'preferred', userVerification: 'required' },
        },
      });
      put(form, 'clientDataJSON', made.response.clientDataJSON);
      put(form, 'attestationObject', made.response.attestationObject);
    },
  };

  const start = (form, ceremony) => form.addEventListener('submit', async event => {
    event.preventDefault();
    if (!form.reportValidity()) return;
    if (!globalThis.PublicKeyCredential) { say(form, 'This browser has no passkeys.'); return; }
    say(form, 'Look at what your browser asks.');
    try {
      await ceremony(form);
    } catch (error) {
      say(form, error.name === 'InvalidStateError' ? 'There is a passkey of yours on this device already.'
        : 'No passkey was used. Try again, or choose another way.');
      return;
    }
    form.submit();
  });
  document.querySelectorAll('[data-passkey-answer]').forEach(form => start(form, ceremonies.answer));
  document.querySelectorAll('[data-passkey-new]').forEach(form => start(form, ceremonies.make));
})();
