// A SMART app: the observations of one patient as a plot, and the medications. Uses fhirclient.
const at = (id) => document.getElementById(id);
const say = (text) => { at('state').textContent = text; };

// Standalone: nobody has chosen a patient yet.
const connect = () => FHIR.oauth2.authorize({
  iss: `${location.origin}/fhir`, clientId: 'chart', redirectUri: '/apps/chart/',
  scope: 'launch/patient openid fhirUser offline_access patient/Patient.rs patient/Observation.rs patient/MedicationRequest.rs patient/Condition.rs',
}).catch((error) => say(error.message));

async function all(client, query) {
  try {
    return await client.request(query, { pageLimit: 0, flat: true });
  } catch (error) {
    if (error.status === 403) return [];
    throw error;
  }
}

let plot;
function draw(name, observations) {
  const points = observations.map((o) => [Date.parse(o.effectiveDateTime) / 1000, o.valueQuantity.value]).sort((a, b) => a[0] - b[0]);
  plot?.destroy();
  plot = new uPlot({ width: 720, height: 300, title: name, series: [{}, { label: observations[0].valueQuantity.unit, stroke: '#0b5394', width: 2, points: { show: true, size: 7 } }] },
    [points.map((p) => p[0]), points.map((p) => p[1])], at('plot'));
}

async function show(client) {
  const patient = await client.patient.read().catch(() => null);
  const name = patient?.name?.[0];
  at('who').textContent = name ? `${name.given?.join(' ') ?? ''} ${name.family ?? ''}` : 'Chart';
  const observations = await all(client, `Observation?patient=${client.patient.id}&_count=200`);
  const tests = new Map();
  for (const o of observations.filter((x) => x.valueQuantity)) tests.set(o.code.text, [...(tests.get(o.code.text) ?? []), o]);
  at('tests').replaceChildren(...[...tests].map(([test, some]) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = test;
    button.addEventListener('click', () => draw(test, some));
    return button;
  }));
  if (tests.size) draw(...tests.entries().next().value);
  const medications = await all(client, `MedicationRequest?patient=${client.patient.id}&_count=200`);
  at('medications').replaceChildren(...medications.map((m) => {
    const item = document.createElement('li');
    item.textContent = m.medicationCodeableConcept?.text ?? m.medicationCodeableConcept?.coding?.[0]?.display ?? 'Unnamed';
    return item;
  }));
  at('count').textContent = `${observations.length} observations, ${medications.length} medications`;
  at('list').hidden = false;
  say('Ready');
  at('refresh').hidden = !client.state.tokenResponse.refresh_token;
  at('refresh').onclick = () => client.refresh().then(() => { say('Refreshed'); }, (error) => say(error.message));
  window.chartClient = client;    // for whoever looks with the browser's console
}

const query = new URLSearchParams(location.search);
if (query.has('error')) say(`The clinic says: ${query.get('error')}`);
else if (query.has('code') || sessionStorage.getItem('SMART_KEY')) FHIR.oauth2.ready().then(show).catch((error) => { say(error.message); at('connect').hidden = false; });
else at('connect').hidden = false;
at('connect').addEventListener('click', connect);
