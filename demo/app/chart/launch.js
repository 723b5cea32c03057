// The EHR's launch: ?iss=FHIR-BASE&launch=HANDLE.
FHIR.oauth2.authorize({
  clientId: 'chart',
  scope: 'launch openid fhirUser offline_access patient/Patient.rs patient/Observation.rs patient/MedicationRequest.rs patient/Condition.rs',
  redirectUri: '/apps/chart/',
}).catch((error) => { document.getElementById('state').textContent = error.message; });
