// demo/app/pages.js: the pages that people see: plain forms without script.

const entities = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
export const escape = (text) => String(text ?? '').replace(/[&<>"']/g, (c) => entities[c]);

// Headers of a page; forms may lead back to the app that asked.
export function headers(formTarget) {
  let target = '';
  try {
    const url = new URL(formTarget);
    target = /^https?:$/.test(url.protocol) ? ` ${url.origin}` : ` ${url.protocol}`;
  } catch { /* none */ }
  return {
    'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store', 'x-frame-options': 'DENY',
    'content-security-policy': `default-src 'none'; style-src 'self'; form-action 'self'${target}; frame-ancestors 'none'; base-uri 'none'`,
  };
}

const page = (title, content) => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(title)} - Riverside Clinic</title><link rel="stylesheet" href="/style.css"></head>
<body><header><a href="/">Riverside Clinic</a></header><main><h1>${escape(title)}</h1>
${content}
</main></body></html>
`;
const hidden = (name, value) => `<input type="hidden" name="${name}" value="${escape(value)}">`;

export const error = (title, detail) => page(title, `<p role="alert">${escape(detail)}</p>`);

export const login = (flow, action, failed) => page('Sign in', `
${failed ? '<p role="alert" class="alert">The name or the password is wrong.</p>' : ''}
<form method="post" action="${action}">${hidden('flow', flow)}
<label for="username">Name</label><input id="username" name="username" autocomplete="username" required autofocus>
<label for="password">Password</label><input id="password" name="password" type="password" autocomplete="current-password" required>
<button type="submit">Sign in</button></form>`);

export const device = (flow, user, fault) => page('Connect a device', `
${fault ? `<p role="alert" class="alert">${escape(fault)}</p>` : ''}
<p>Signed in as <strong>${escape(user.sub)}</strong>. Enter the code that your device shows.</p>
<form method="post" action="/auth/device">${hidden('flow', flow)}
<label for="user_code">Code</label><input id="user_code" name="user_code" required autofocus autocomplete="off" autocapitalize="characters" spellcheck="false" maxlength="20" aria-describedby="shape">
<p id="shape"><small>Eight letters, such as WDJB-MJHT.</small></p>
<button type="submit">Continue</button></form>`);

export const connected = (allowed) => page(allowed ? 'The device is connected' : 'Nothing was allowed', `
<p role="status">${allowed ? 'Go on at the device. You can take this back at <a href="/auth/manage">apps that you have allowed</a>.' : 'The device gets no access.'}</p>`);

export const patients = (flow, list, action = '/auth/patient') => page('Choose a patient', `
<form method="post" action="${action}">${hidden('flow', flow)}
<fieldset><legend>Whose record may the app use?</legend>
${list.map((p) => `<label class="choice"><input type="radio" name="patient" value="${escape(p.id)}" required> ${escape(p.name)} <small>${escape(p.birthDate)}</small></label>`).join('\n')}
</fieldset><button type="submit">Continue</button></form>`);

export function consent(flow, asked, patient, action = '/auth/consent') {
  const client = asked.client;
  const box = (scope, text, checked) => `<label class="choice"><input type="checkbox" name="scope" value="${escape(scope)}"${checked ? ' checked' : ''}> ${escape(text)} <small>${escape(scope)}</small></label>`;
  return page(`Allow ${client.client_name ?? client.client_id}?`, `
${action === '/auth/device' ? '<p class="alert"><strong>Go on only if you began this yourself</strong>, on a device that you have before you. If somebody sent you the code, deny.</p>' : ''}
${client.dynamic ? '<p class="alert">This app registered itself. Go on only if you know it.</p>' : ''}
<p>The app <strong>${escape(client.client_name ?? client.client_id)}</strong> asks to use data of this clinic${patient ? ` about <strong>${escape(patient)}</strong>` : ''}.
${client.policy_uri ? `<a href="${escape(client.policy_uri)}" rel="noreferrer">Its privacy policy</a>.` : ''}</p>
<form method="post" action="${action}">${hidden('flow', flow)}
<fieldset><legend>It may</legend>
${asked.scopes.map((s) => box(s.scope, s.text, true) + (s.narrower?.length
    ? `<div class="narrower" role="group" aria-label="Instead, only a part of: ${escape(s.text)}">${s.narrower.map((n) => box(n.scope, `only: ${n.text}`, false)).join('\n')}</div>` : '')).join('\n')}
</fieldset>
<button type="submit" name="decision" value="allow">Allow</button>
<button type="submit" name="decision" value="deny" class="secondary">Deny</button></form>`);
}

export const home = (flow, user, list, app) => page('Patients', `
<form method="post" action="/logout" class="inline">${hidden('flow', flow)}<p>Signed in as <strong>${escape(user.sub)}</strong>. <a href="/auth/manage">Apps that you have allowed</a>
<button type="submit" class="secondary">Sign out</button></p></form>
<table><caption>Launch an app for a patient</caption><thead><tr><th scope="col">Patient</th><th scope="col">Born</th><th scope="col">App</th></tr></thead><tbody>
${list.map((p) => `<tr><td>${escape(p.name)}</td><td>${escape(p.birthDate)}</td><td><form method="post" action="/launch" class="inline">${hidden('flow', flow)}${hidden('patient', p.id)}
<button type="submit" aria-label="Launch ${escape(app)} for ${escape(p.name)}">${escape(app)}</button></form></td></tr>`).join('\n')}
</tbody></table>`);

export const manage = (flow, user, grants) => page('Apps that you have allowed', `
${grants.length ? '' : '<p>None.</p>'}
${grants.map((g) => `<section><h2>${escape(g.client_name ?? g.client_id)}</h2>
<dl><dt>May</dt><dd>${escape(g.scope)}</dd><dt>Patient</dt><dd>${escape(g.patient ?? 'none')}</dd><dt>Since</dt><dd>${escape(g.granted_at?.toISOString?.() ?? g.granted_at)}</dd></dl>
<form method="post" action="/auth/manage/withdraw">${hidden('flow', flow)}${hidden('client_id', g.client_id)}${g.patient ? hidden('patient', g.patient) : ''}
<button type="submit" aria-label="Withdraw ${escape(g.client_name ?? g.client_id)}">Withdraw</button></form></section>`).join('\n')}`);
